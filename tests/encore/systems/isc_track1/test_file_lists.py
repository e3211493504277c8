import pytest

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.file_lists import write_query_list, write_reference_list


def test_query_list_is_sorted_as_text_without_a_newline_at_the_end(tmp_path):
    path = tmp_path / "dev_queries_exp_VD"
    path.write_text("an old list\n")
    write_query_list(path, ["Q50000_{}.jpg".format(k) for k in (0, 1, 2, 10, 11, 1000)] + ["Q49999_3.jpg"])
    assert path.read_bytes() == (b"Q49999_3\nQ50000_0\nQ50000_1\nQ50000_10\nQ50000_1000\nQ50000_11\nQ50000_2")


def divided(folder, count):
    for part in range(19):
        (folder / "reference_images_exp_{}".format(part)).mkdir()
        for i in reversed(range(count)):
            name = "reference_images_exp_{0}/R{1:06d}_{0}.jpg".format(part, i)
            (folder / name).write_bytes(b"")


def test_reference_list_has_full_paths_in_string_order_of_the_folders(tmp_path):
    divided(tmp_path, 2)
    (tmp_path / "reference_images_exp_face").mkdir()
    path = tmp_path / "dev_reference_exp"
    for _ in range(2):  # written anew, not appended
        assert write_reference_list(path, tmp_path) == 38
    lines = path.read_text().split("\n")
    order = [0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 2, 3, 4, 5, 6, 7, 8, 9]
    assert lines == [
        "{0}/reference_images_exp_{1}/R{2:06d}_{1}.jpg".format(tmp_path, part, i)
        for part in order
        for i in range(2)
    ]


def test_missing_parts_are_refused(tmp_path):
    divided(tmp_path, 2)
    (tmp_path / "reference_images_exp_7" / "R000001_7.jpg").unlink()
    with pytest.raises(Refusal, match="reference_images_exp_7: 1 files, .* holds 2: divide"):
        write_reference_list(tmp_path / "list", tmp_path)
    (tmp_path / "reference_images_exp_7" / "R000000_7.jpg").unlink()
    (tmp_path / "reference_images_exp_7").rmdir()
    with pytest.raises(Refusal, match="reference_images_exp_7: no such folder"):
        write_reference_list(tmp_path / "list", tmp_path)
    assert not (tmp_path / "list").exists()
