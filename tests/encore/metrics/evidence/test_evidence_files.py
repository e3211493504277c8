"""Evidence as files: bytes, damage, unknown kinds, and differences between files."""

import hashlib

import numpy as np
import pytest

from encore.metrics.evidence.archive import compact, decoded, encoded, read_archive, write_archive
from encore.metrics.evidence.classified_pictures import ClassifiedPictures
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.differences import HERE, Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile, WrittenEvidence
from encore.metrics.evidence.reading import read_evidence
from encore.metrics.evidence.resampling import resampled
from encore.runtime.refusal import Refusal


def classified(*hits):
    """Pictures of two classes, with the first answers right or wrong."""
    labels = np.arange(len(hits)) % 2
    first = np.where(hits, labels, 1 - labels)
    return ClassifiedPictures(labels, first, np.stack([first, 1 - first], axis=1))


def test_equal_parts_make_equal_bytes_and_no_date_is_among_them(tmp_path):
    for name in ("a.npz", "b.npz"):
        EvidenceFile(Counts.of_sums({"b": np.arange(5), "a": np.arange(3)})).write(tmp_path / name)
    data = (tmp_path / "a.npz").read_bytes()
    assert data == (tmp_path / "b.npz").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert digest == hashlib.sha256((tmp_path / "b.npz").read_bytes()).hexdigest()
    with np.load(str(tmp_path / "a.npz"), allow_pickle=False) as file:  # any numpy opens it
        assert sorted(file.files) == file.files == ["0/kind", "0/numbers", "0/part/a", "0/part/b", "format"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], "uint8"),
        ([-1, 127], "int8"),
        ([0, 256], "uint16"),
        ([-129, 0], "int16"),
        ([0, 2**16], "uint32"),
        ([-1, 2**31 - 1], "int32"),
        ([0, 2**40], "int64"),
        ([0.5, -0.25, np.inf], "float32"),
        ([0.1], "float64"),
        ([1e300], "float64"),
    ],
)
def test_numbers_are_kept_in_the_smallest_type_that_holds_them(tmp_path, values, dtype):
    assert compact(np.array(values)).dtype == dtype
    write_archive(tmp_path / "a.npz", {"x": np.array(values)})
    assert read_archive(tmp_path / "a.npz")["x"].tolist() == values


def test_what_is_no_number_is_not_written():
    with pytest.raises(TypeError, match="integers and floats"):
        compact(np.array([None]))


@pytest.mark.parametrize("names", [[], [""], ["a", "", "ü€"]])
def test_texts_come_back(names):
    assert decoded(encoded(names)) == names


def test_a_text_of_two_lines_is_none():
    with pytest.raises(ValueError, match="no line break"):
        encoded(["a\nb"])


@pytest.mark.parametrize("length", [0, 10, 200, -30])
def test_a_file_that_was_cut_off_is_refused_by_name(tmp_path, length):
    path = tmp_path / "cut.npz"
    EvidenceFile(classified(1, 0, 1)).write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Refusal, match="cut.npz: no evidence can be read from it .*pull it again"):
        read_evidence(path)


def test_each_changed_byte_of_the_numbers_is_noticed(tmp_path):
    path = tmp_path / "changed.npz"
    EvidenceFile(Counts.of_sums({"a": np.full(64, 7)})).write(path)
    data = bytearray(path.read_bytes())
    place = bytes(data).index(b"\x07" * 64)
    data[place + 5] = 8
    path.write_bytes(bytes(data))
    with pytest.raises(Refusal, match="changed.npz: no evidence can be read from it"):
        read_evidence(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(Refusal, match="none.npz: missing: pull it with `dvc pull`"):
        read_evidence(tmp_path / "none.npz")


def test_an_unknown_kind_is_refused_with_those_that_are_known(tmp_path):
    part = type("Part", (), {"kind": "tea leaves", "arrays": lambda self: {}})()
    EvidenceFile(part).write(tmp_path / "a.npz")
    with pytest.raises(Refusal, match="a.npz: 0/kind: expected one of boxes, .* found tea leaves"):
        read_evidence(tmp_path / "a.npz")


def test_another_archive_is_no_evidence(tmp_path):
    np.savez(str(tmp_path / "a.npz"), x=np.arange(3))
    with pytest.raises(Refusal, match="a.npz: format: expected encore-evidence/1, found None"):
        read_evidence(tmp_path / "a.npz")


def test_objects_are_not_loaded(tmp_path):
    np.savez(str(tmp_path / "a.npz"), x=np.array([{}], dtype=object))
    with pytest.raises(Refusal, match="a.npz: no evidence can be read from it"):
        read_evidence(tmp_path / "a.npz")


def test_a_missing_entry_is_named(tmp_path):
    part = type(
        "Part", (), {"kind": "classified pictures", "arrays": lambda self: {"labels": np.arange(2)}}
    )()
    EvidenceFile(part).write(tmp_path / "a.npz")
    with pytest.raises(Refusal, match="a.npz: classified pictures: first: missing"):
        read_evidence(tmp_path / "a.npz")


def test_evidence_made_on_the_way_is_taken_over_byte_by_byte(tmp_path):
    EvidenceFile(classified(1, 0)).write(tmp_path / "run" / "validation.npz")
    WrittenEvidence(tmp_path / "run" / "validation.npz").write(tmp_path / "evidence" / "a" / "b.npz")
    assert (tmp_path / "evidence/a/b.npz").read_bytes() == (tmp_path / "run/validation.npz").read_bytes()


def test_a_finished_run_that_left_none_is_refused_with_the_folder_to_remove(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(Refusal, match="run/validation.npz: missing: .* in .*/run, .*: remove this folder"):
        WrittenEvidence(folder / "validation.npz").write(tmp_path / "evidence" / "b.npz")
    assert not (tmp_path / "evidence").exists()


# --- differences


def write_compared(folder, less="baseline/random.npz", less_hits=(1, 0, 0, 0)):
    EvidenceFile(classified(1, 1, 1, 0)).write(folder / "train" / "small.npz")
    EvidenceFile(classified(*less_hits)).write(folder / "baseline" / "random.npz")
    rows = (Difference("gain", "train/small.npz", "top1", less, "top1"),)
    EvidenceFile(Differences(rows)).write(folder / "compare.npz")
    return folder / "compare.npz"


def test_a_difference_is_computed_from_the_files_that_it_names(tmp_path):
    assert read_evidence(write_compared(tmp_path)).measure() == {"gain": 50.0}
    path = write_compared(tmp_path, less_hits=(1, 1, 0, 0))
    assert read_evidence(path).measure() == {"gain": 25.0}


def test_a_difference_among_the_parts_of_its_own_file(tmp_path):
    counts = Counts.of_sums({"a": np.array([5, 2]), "b": np.array([3])})
    rows = (Difference("gap", HERE, "a", HERE, "b"),)
    EvidenceFile(counts, Differences(rows)).write(tmp_path / "a.npz")
    evidence = read_evidence(tmp_path / "a.npz")
    assert evidence.measure() == {"a": 7, "b": 3, "gap": 4} and evidence.bootstrap(5, 0) == {}


def test_both_sides_of_a_difference_are_drawn_alike(tmp_path):
    compared = read_evidence(write_compared(tmp_path)).bootstrap(30, 4)
    assert set(compared) == {"gain"}
    sides = [
        read_evidence(tmp_path / name).bootstrap(30, 4)["top1"]
        for name in ("train/small.npz", "baseline/random.npz")
    ]
    np.testing.assert_array_equal(compared["gain"], sides[0] - sides[1])
    same = read_evidence(write_compared(tmp_path, less="train/small.npz"))
    assert same.measure() == {"gain": 0.0} and not same.bootstrap(30, 4)["gain"].any()


@pytest.mark.parametrize(
    ("less", "said"),
    [
        ("../other.npz", "compare.npz: differences: rows: gain: ../other.npz leads out of its folder"),
        ("/tmp/other.npz", "compare.npz: differences: rows: gain: /tmp/other.npz leads out of its folder"),
        ("baseline/none.npz", "baseline/none.npz: missing"),
        ("compare.npz", "compare.npz, which is a difference itself"),
        ("counts.npz", "counts.npz: top1: no such number in it"),
    ],
)
def test_a_difference_of_what_is_not_there_is_refused(tmp_path, less, said):
    EvidenceFile(Counts.of_sums({"images": np.array([1])})).write(tmp_path / "counts.npz")
    with pytest.raises(Refusal, match=said):
        read_evidence(write_compared(tmp_path, less=less)).measure()


def test_pictures_of_two_sets_are_drawn_together_by_place_and_class(tmp_path):
    EvidenceFile(classified(1, 1, 0, 0, 1)).write(tmp_path / "train" / "small.npz")
    EvidenceFile(classified(1, 1, 0)).write(tmp_path / "baseline" / "random.npz")
    rows = (Difference("gain", "train/small.npz", "top1", "baseline/random.npz", "top1"),)
    EvidenceFile(Differences(rows)).write(tmp_path / "compare.npz")
    found = read_evidence(tmp_path / "compare.npz").bootstrap(40, 2)["gain"]
    for value, drawn in zip(found, resampled(5, 40, 2)):
        hits = np.array([1, 1, 0, 0, 1])[drawn], np.array([1, 1, 0])[drawn[drawn < 3]]
        expected = 100 * (hits[0].mean() - hits[1].mean()) if len(hits[1]) else np.nan
        assert value == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_sides_of_two_kinds_have_no_draws(tmp_path):
    EvidenceFile(classified(1, 0)).write(tmp_path / "a.npz")
    EvidenceFile(Counts.of_sums({"images": np.array([7])})).write(tmp_path / "b.npz")
    EvidenceFile(Differences((Difference("gap", "b.npz", "images", "a.npz", "top1"),))).write(
        tmp_path / "c.npz"
    )
    evidence = read_evidence(tmp_path / "c.npz")
    assert evidence.measure() == {"gap": -43.0} and evidence.bootstrap(5, 0) == {}
