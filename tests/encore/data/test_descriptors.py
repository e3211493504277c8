import time

import h5py
import numpy as np
import pytest

from encore.data.descriptors import (
    Submission,
    chunk_files,
    chunk_path,
    descriptor_id,
    read_attributes,
    read_descriptors,
    read_submission,
    write_descriptors,
    write_submission,
)
from encore.runtime.refusal import Refusal


def unit_vectors(count, width=4, seed=0):
    vectors = np.random.RandomState(seed).standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_files_have_the_published_layout_and_read_back(tmp_path):
    vectors = unit_vectors(5)
    names = ["images/Q0000{}.jpg".format(number) for number in range(4)] + ["images/extra/Q00100_12.png"]
    write_descriptors(tmp_path / "a.hdf5", vectors[:3], names[:3])
    write_descriptors(tmp_path / "b.hdf5", vectors[3:], names[3:], {"size": "256"})
    with h5py.File(str(tmp_path / "b.hdf5"), "r") as store:
        assert sorted(store) == ["image_names", "vectors"]
        assert store["vectors"].dtype == np.float32 and store["vectors"].shape == (2, 4)
        assert store["image_names"].dtype == np.dtype("S26")
        assert store["image_names"][1] == b"images/extra/Q00100_12.png"
    ids, read = read_descriptors([tmp_path / "a.hdf5", tmp_path / "b.hdf5"])
    assert ids == ["Q00000", "Q00001", "Q00002", "Q00003", "Q00100_12"]
    assert read.dtype == np.float32 and np.array_equal(read, vectors)
    assert (read_attributes(tmp_path / "a.hdf5"), read_attributes(tmp_path / "b.hdf5")) == (
        {},
        {"size": "256"},
    )


@pytest.mark.parametrize(
    "pattern, chunk, expected",
    [
        ("query_byol_VD_50k.hdf5", 0, "query_0_byol_VD_50k.hdf5"),
        ("out_dir/references_byol.hdf5", 19, "out_dir/references_19_byol.hdf5"),
    ],
)
def test_the_chunk_number_follows_the_first_token(pattern, chunk, expected):
    assert chunk_path(pattern, chunk) == expected


def test_a_name_without_a_place_for_the_chunk_number_is_refused():
    with pytest.raises(Refusal, match="'_' in the name"):
        chunk_path("some_folder/query.hdf5", 0)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("/a/b/R000123_7.jpg", "R000123_7"),
        ("Q1.png", "Q1"),
        ("Q1.jpeg", "Q1.jpeg"),
        ("Q1", "Q1"),
        ("a.jpg/Q1", "Q1"),
    ],
)
def test_ids(name, expected):
    assert descriptor_id(name) == expected


def damaged(vectors, row, value):
    vectors = vectors.copy()
    vectors[row, 0] = value
    return vectors


def store_raw(path, vectors, names):
    with h5py.File(str(path), "w") as store:
        store.create_dataset("vectors", data=vectors)
        store.create_dataset("image_names", data=np.array(names, dtype="S8"))


@pytest.mark.parametrize(
    "vectors, names, message",
    [
        (unit_vectors(2), ["a", "a"], r"found a in .*x_0\.hdf5 row 1"),
        (unit_vectors(2), ["a", "z/q.jpg"], r"found q in .*x_0\.hdf5 row 1 and before in .*good_0\.hdf5"),
        (
            unit_vectors(2),
            ["a"],
            r"one row of vectors for each of the 1 image_names, found shape \(2, 4\) in .*x_0",
        ),
        (unit_vectors(2, 5), ["a", "b"], r"width 4, found 5 in .*x_0\.hdf5"),
        (damaged(unit_vectors(3), 2, np.nan), list("abc"), r"NaN or infinity in .*x_0\.hdf5 row 2"),
        (damaged(unit_vectors(3), 1, np.inf), list("abc"), r"NaN or infinity in .*x_0\.hdf5 row 1"),
        (damaged(unit_vectors(3), 1, 2.0), list("abc"), r"L2-normalised.*in .*x_0\.hdf5 row 1"),
    ],
)
def test_bad_files_are_refused_by_file_and_row(tmp_path, vectors, names, message):
    write_descriptors(tmp_path / "good_0.hdf5", unit_vectors(1), ["q.jpg"])
    store_raw(tmp_path / "x_0.hdf5", vectors, names)
    with pytest.raises(Refusal, match=message):
        read_descriptors([tmp_path / "good_0.hdf5", tmp_path / "x_0.hdf5"])


def test_width_can_be_demanded_and_length_left_free(tmp_path):
    write_descriptors(tmp_path / "a_0.hdf5", 3 * unit_vectors(2), ["a", "b"])
    assert len(read_descriptors([tmp_path / "a_0.hdf5"], width=4, normalised=False)[0]) == 2
    with pytest.raises(Refusal, match="width 256, found 4"):
        read_descriptors([tmp_path / "a_0.hdf5"], width=256, normalised=False)


def test_the_number_of_rows_can_be_demanded(tmp_path):
    write_descriptors(tmp_path / "a_0.hdf5", unit_vectors(3), list("abc"))
    assert len(read_descriptors([tmp_path / "a_0.hdf5"], rows=3)[0]) == 3
    for rows in (2, 4):
        with pytest.raises(Refusal, match=r"a_0\.hdf5: expected {} descriptors .* found 3".format(rows)):
            read_descriptors([tmp_path / "a_0.hdf5"], rows=rows)


def chunks(folder, numbers, pattern="query_byol_VD_50k.hdf5", rows=None):
    for number in numbers:
        names = ["Q{}_{}".format(number, k) for k in range(2)]
        attributes = {} if rows is None else {"rows": str(rows)}
        write_descriptors(chunk_path(folder / pattern, number), unit_vectors(2), names, attributes)
    return folder / pattern


def test_chunk_files_are_found_in_the_order_of_their_numbers(tmp_path):
    pattern = chunks(tmp_path, range(12), rows=24)
    for other in ("query_byol.hdf5", "query_x_byol_VD_50k.hdf5", "references_byol.hdf5"):
        (tmp_path / other).write_bytes(b"")
    (tmp_path / "query__byol_VD_50k.hdf5").write_bytes(b"")
    chunks(tmp_path, [0], "query_byol.hdf5")  # of other pictures
    assert [path.rpartition("/")[2] for path in chunk_files(pattern)] == [
        "query_{}_byol_VD_50k.hdf5".format(number) for number in range(12)
    ]
    assert len(chunk_files(tmp_path / "query_byol.hdf5")) == 1


def test_missing_chunk_files_are_refused_by_name(tmp_path):
    pattern = tmp_path / "query_byol_VD_50k.hdf5"
    with pytest.raises(Refusal, match=r"query_0_byol_VD_50k\.hdf5: missing, as are all others"):
        chunk_files(pattern)
    chunks(tmp_path, [0, 2])
    with pytest.raises(Refusal, match=r"query_1_byol_VD_50k\.hdf5: missing, .*query_2_byol_.* is there"):
        chunk_files(pattern)
    chunks(tmp_path, [1])
    assert len(chunk_files(pattern)) == 3  # nothing says that there were more
    for rows, message in ((8, "expected 8 descriptors .* found 6"), (5, "expected 5 descriptors .* found 6")):
        chunks(tmp_path, range(3), rows=rows)
        with pytest.raises(Refusal, match=r"query_2_byol_VD_50k\.hdf5: " + message):
            chunk_files(pattern)
    (tmp_path / "query_2_byol_VD_50k.hdf5").write_bytes(b"cut")
    with pytest.raises(Refusal, match=r"query_2_byol_VD_50k\.hdf5"):
        chunk_files(pattern)


def test_what_is_no_descriptor_file_is_refused(tmp_path):
    (tmp_path / "cut_0.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with h5py.File(str(tmp_path / "other_0.hdf5"), "w") as store:
        store.create_dataset("features", data=[1.0])
    for name, message in (
        ("cut_0.hdf5", "HDF5 file"),
        ("missing_0.hdf5", "HDF5 file"),
        ("other_0.hdf5", r"data set 'vectors', found \['features'\]"),
    ):
        with pytest.raises(Refusal, match=message):
            read_descriptors([tmp_path / name])
    with pytest.raises(Refusal, match="at least one descriptor file"):
        read_descriptors([])


def test_writing_refuses_bad_rows_and_leaves_nothing_behind(tmp_path):
    for vectors, names, message in (
        (damaged(unit_vectors(2), 1, np.nan), ["a", "b"], "row 1"),
        (unit_vectors(2), ["a"], "one row"),
        (unit_vectors(1), ["\u00e4"], "ASCII"),
    ):
        with pytest.raises(Refusal, match=message):
            write_descriptors(tmp_path / "a_0.hdf5", vectors, names)
    assert list(tmp_path.iterdir()) == []


def test_equal_descriptors_make_equal_files(tmp_path):
    for name in ("a_0.hdf5", "b_0.hdf5"):
        time.sleep(1.1)  # HDF5 would note whole seconds
        write_descriptors(tmp_path / name, unit_vectors(3), list("abc"), {"size": "256"})
    assert (tmp_path / "a_0.hdf5").read_bytes() == (tmp_path / "b_0.hdf5").read_bytes()


def test_a_submission_is_sorted_by_id_and_reads_back(tmp_path):
    query, reference = 2 * unit_vectors(3), unit_vectors(2, seed=1)
    write_submission(tmp_path / "s.h5", Submission(query, reference, ["Q2", "Q0", "Q1"], ["R10", "R09"]))
    with h5py.File(str(tmp_path / "s.h5"), "r") as store:
        assert {name: store[name].dtype.str for name in store} == {
            "query": "<f4",
            "query_ids": "|S2",
            "reference": "<f4",
            "reference_ids": "|S3",
        }
    read = read_submission(tmp_path / "s.h5")
    assert (read.query_ids, read.reference_ids) == (["Q0", "Q1", "Q2"], ["R09", "R10"])
    assert np.array_equal(read.query, query[[1, 2, 0]]) and np.array_equal(read.reference, reference[[1, 0]])


@pytest.mark.parametrize(
    "submission, message",
    [
        (
            Submission(unit_vectors(1, 257), unit_vectors(1, 257), ["Q"], ["R"]),
            "at most 256 dimensions, found 257",
        ),
        (Submission(unit_vectors(1, 4), unit_vectors(1, 5), ["Q"], ["R"]), "equal width, found 4 and 5"),
        (Submission(unit_vectors(2), unit_vectors(1), ["Q", "Q"], ["R"]), r"found Q again in .*s\.h5 row 1"),
    ],
)
def test_bad_submissions_are_refused(tmp_path, submission, message):
    write_submission(tmp_path / "s.h5", submission)
    with pytest.raises(Refusal, match=message):
        read_submission(tmp_path / "s.h5")


def test_a_submission_with_nan_is_refused_by_data_set_and_row(tmp_path):
    with pytest.raises(Refusal, match="data set reference row 1"):
        write_submission(
            tmp_path / "s.h5",
            Submission(unit_vectors(1), damaged(unit_vectors(2), 1, np.nan), ["Q"], ["R", "S"]),
        )
