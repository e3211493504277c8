import os

import numpy as np
import pytest

from encore.detection.detections import ARCHIVE, Detections, write_detections
from encore.runtime.refusal import Refusal

ROWS = np.array([[1.5, 2, 30, 40, 0.9, 1], [0, 0, 10, 10, 0.9, 0], [5, 5, 6, 6, 0.1, 0]], np.float32)
NONE = np.zeros((0, 6), np.float32)


def test_an_archive_gives_back_what_was_written(tmp_path):
    names = ["Q1.jpg", "Q2.jpg", "Q3.jpg"]
    write_detections(tmp_path, names, [NONE, ROWS, ROWS[:1]], 96)
    found = Detections.open(tmp_path)
    assert found.names == names and found.size == 96 and len(found) == 3
    assert found.of("Q1.jpg").shape == (0, 6)
    assert (found.of("Q2.jpg") == ROWS).all() and (found.of("Q3.jpg") == ROWS[:1]).all()
    assert found.of("Q9.jpg").shape == (0, 6)


def test_equal_detections_make_equal_archives(tmp_path):
    for name in ("a", "b"):
        write_detections(tmp_path / name, ["Q1.jpg"], [ROWS], 640)
    assert (tmp_path / "a" / ARCHIVE).read_bytes() == (tmp_path / "b" / ARCHIVE).read_bytes()


def test_published_files_and_back(tmp_path):
    write_detections(tmp_path / "ours", ["Q1.jpg", "Q2.jpg"], [NONE, ROWS], 640)
    Detections.open(tmp_path / "ours").export(tmp_path / "published")
    assert os.listdir(str(tmp_path / "published")) == ["Q2.jpg.npy"]
    assert (np.load(str(tmp_path / "published" / "Q2.jpg.npy")) == ROWS).all()
    found = Detections.open(tmp_path / "published")
    assert found.names == ["Q2.jpg"] and found.size == 640
    assert (found.of("Q2.jpg") == ROWS).all() and len(found.of("Q1.jpg")) == 0


def test_float64_files_are_read(tmp_path):
    np.save(str(tmp_path / "Q1.jpg.npy"), ROWS.astype(np.float64))
    assert (Detections.open(tmp_path).of("Q1.jpg") == ROWS).all()


@pytest.mark.parametrize(
    "rows, problem",
    [
        (ROWS[:, :5], r"float32 array of shape \(3, 5\)"),
        (ROWS[0], r"float32 array of shape \(6,\)"),
        (ROWS.astype(int), "int64 array"),
        (np.where(np.eye(3, 6) > 0, np.nan, ROWS), "row 0 is not finite"),
        (ROWS[::-1], "row 1 has more confidence than the one before it"),
        (ROWS + np.array([9, 0, 0, 0, 0, 0]), "row 2 is a box whose end lies before its start"),
        (ROWS + np.array([0, 0, 0, 0, 1, 0]), "row 0 has a confidence outside 0 to 1"),
        (ROWS + np.array([0, 0, 0, 0, 0, 1]), "row 0 has a class other than 0"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, rows, problem):
    np.save(str(tmp_path / "Q1.jpg.npy"), rows)
    found = Detections.open(tmp_path)
    with pytest.raises(Refusal, match="Q1.jpg.npy: " + problem):
        found.of("Q1.jpg")


def test_a_file_that_is_no_array_is_refused(tmp_path):
    (tmp_path / "Q1.jpg.npy").write_bytes(b"not an array")
    with pytest.raises(Refusal, match="Q1.jpg.npy: no array of detections"):
        Detections.open(tmp_path).of("Q1.jpg")


def test_a_pickled_file_is_not_loaded(tmp_path):
    np.save(str(tmp_path / "Q1.jpg.npy"), np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(Refusal, match="Q1.jpg.npy: no array"):
        Detections.open(tmp_path).of("Q1.jpg")


def test_a_folder_without_detections_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(Refusal, match="no detections.npz and no <picture>.npy files there"):
            Detections.open(folder)


def test_a_damaged_archive_is_refused(tmp_path):
    write_detections(tmp_path, ["Q1.jpg"], [ROWS], 640)
    path = tmp_path / ARCHIVE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Refusal, match="detections.npz: no archive of detections"):
        Detections.open(tmp_path)
    np.savez(str(path), names=np.array(["Q1.jpg"]), counts=np.array([2]), rows=ROWS, size=640)
    with pytest.raises(Refusal, match="its counts do not add up to its rows"):
        Detections.open(tmp_path)
    np.savez(str(path), names=np.array(["Q1.jpg"]), counts=np.array([3]), rows=ROWS[::-1], size=640)
    with pytest.raises(Refusal, match="detections.npz: Q1.jpg: row 1 has more confidence"):
        Detections.open(tmp_path)


def test_what_is_written_is_checked_and_nothing_is_overwritten(tmp_path):
    write_detections(tmp_path, ["Q1.jpg"], [ROWS], 640)
    before = (tmp_path / ARCHIVE).read_bytes()
    with pytest.raises(Refusal, match="Q1.jpg: row 1 has more confidence"):
        write_detections(tmp_path, ["Q1.jpg"], [ROWS[::-1]], 640)
    with pytest.raises(ValueError, match="one array for each of the names"):
        write_detections(tmp_path, ["Q1.jpg", "Q1.jpg"], [ROWS, ROWS], 640)
    assert (tmp_path / ARCHIVE).read_bytes() == before


def test_detections_of_other_pictures_are_refused(tmp_path):
    np.save(str(tmp_path / "Q7.jpg.npy"), ROWS)
    found = Detections.open(tmp_path)
    found.refuse_strangers(["Q7.jpg", "Q8.jpg"])
    with pytest.raises(Refusal, match="1 of its 1 pictures are not among the queries; the first is Q7.jpg"):
        found.refuse_strangers(["Q8.jpg"])
