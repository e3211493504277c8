import h5py
import numpy as np
import pytest

from encore.data.descriptors import Submission, write_submission
from encore.runtime.refusal import Refusal
from encore.search import tiling
from encore.systems.drip import descriptors_file
from encore.systems.drip.descriptors_file import (
    REFERENCES,
    TRAINING,
    descriptors_path,
    open_descriptors,
    write_descriptors,
)
from tests.encore.search.cut_set import CutSet


def descriptors(queries=3, references=5, width=4, letter="R", seed=0):
    rng = np.random.RandomState(seed)
    query, reference = (
        rng.standard_normal((count, width)).astype(np.float32) for count in (queries, references)
    )
    return Submission(
        query,
        reference,
        ["Q{:05d}".format(number) for number in range(queries)],
        ["{}{:06d}".format(letter, number) for number in range(references)],
    )


def equal(read, written):
    return (
        np.array_equal(read.query, written.query)
        and np.array_equal(read.reference.read(0, len(read.reference)), np.asarray(written.reference))
        and (read.query_ids, read.reference_ids) == (written.query_ids, written.reference_ids)
    )


def published_file(path, **others):
    """A file as the published code leaves it: h5py is given arrays and lists of str; None: left out."""
    held = descriptors()
    values = {
        "query": held.query,
        "reference": held.reference,
        "query_ids": held.query_ids,
        "reference_ids": held.reference_ids,
    }
    values.update(others)
    with h5py.File(str(path), "w") as store:
        for name, value in values.items():
            if value is not None:
                store.create_dataset(name, data=value)
    return path


def test_names_are_the_published_ones():
    name = "run/FacebookModel_epoch= 9_trn_loss_epoch=0.9250_val_acc_epoch=0.9919"
    assert descriptors_path(name + ".ckpt") == name + "_160x160_REF.h5"
    assert descriptors_path("last.ckpt", TRAINING) == "last_160x160_TRN.h5"
    assert descriptors_path("test5.ckpt", REFERENCES, 512) == "test5_512x512_REF.h5"
    with pytest.raises(Refusal, match=r"last\.pth: expected a checkpoint named <name>\.ckpt, found '\.pth'"):
        descriptors_path("last.pth")


def test_the_layout_is_the_published_one_and_reads_back(tmp_path):
    written = descriptors()
    write_descriptors(tmp_path / "a_REF.h5", written)
    with h5py.File(str(tmp_path / "a_REF.h5"), "r") as store:
        assert sorted(store) == ["query", "query_ids", "reference", "reference_ids"]
        for name, shape in (("query", (3, 4)), ("reference", (5, 4))):
            assert (store[name].dtype, store[name].shape) == (np.float32, shape)
        for name, shape in (("query_ids", (3,)), ("reference_ids", (5,))):
            text = h5py.check_string_dtype(store[name].dtype)
            assert (text.encoding, text.length, store[name].shape) == ("utf-8", None, shape)
        assert store["reference_ids"].asstr()[1] == "R000001"
    read = open_descriptors(tmp_path / "a_REF.h5")
    assert read.query.dtype == np.float32 and equal(read, written)
    part = read.reference.read(1, 3)
    assert part.dtype == np.float32 and np.array_equal(part, written.reference[1:3])


def test_published_files_and_submissions_of_the_challenge_read_the_same(tmp_path):
    assert equal(open_descriptors(published_file(tmp_path / "p.h5")), descriptors())
    write_submission(tmp_path / "s.h5", descriptors())  # ids of fixed length
    assert equal(open_descriptors(tmp_path / "s.h5"), descriptors())


def test_training_pictures_take_the_place_of_references(tmp_path):
    written = descriptors(letter="T")
    write_descriptors(tmp_path / "a_TRN.h5", written, TRAINING)
    assert equal(open_descriptors(tmp_path / "a_TRN.h5", TRAINING), written)
    with pytest.raises(
        Refusal, match=r"begin with R in reference_ids, found 'T000000' in row 0: .* REF file"
    ):
        open_descriptors(tmp_path / "a_TRN.h5")


def test_rows_are_written_in_blocks_each_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(descriptors_file, "BLOCK", 4)
    written = descriptors(references=11)
    asked = []

    class Watched(CutSet):
        def read(self, first, last):
            asked.append((first, last))
            return super().read(first, last)

    rows = Watched(written.reference, 3)
    write_descriptors(
        tmp_path / "a.h5", Submission(written.query, rows, written.query_ids, written.reference_ids)
    )
    assert asked == [(0, 4), (4, 8), (8, 11)]
    assert equal(open_descriptors(tmp_path / "a.h5"), written)


def test_new_queries_go_over_the_file_whose_references_are_kept(tmp_path):
    # phase 2: the references of phase 1, the queries Q50000 to Q99999
    old, path = descriptors(), tmp_path / "a_160x160_REF.h5"
    write_descriptors(path, old)
    new = descriptors(queries=2, seed=1).query
    write_descriptors(
        path,
        Submission(new, open_descriptors(path).reference, ["Q50000", "Q50001"], old.reference_ids),
    )
    assert equal(
        open_descriptors(path), Submission(new, old.reference, ["Q50000", "Q50001"], old.reference_ids)
    )


def test_equal_descriptors_make_equal_files(tmp_path):
    for name in ("a", "b"):
        write_descriptors(tmp_path / name, descriptors(references=700))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_side_may_be_empty(tmp_path):
    write_descriptors(tmp_path / "a.h5", descriptors(queries=0))
    assert equal(open_descriptors(tmp_path / "a.h5"), descriptors(queries=0))


BAD_WRITES = {
    "ids": (lambda d: d.reference_ids.pop(), "a.h5: expected one id for each row of reference, found 4 ids"),
    "twice": (
        lambda d: d.query_ids.__setitem__(2, "Q00000"),
        "found 'Q00000' again in query_ids row 2",
    ),
    "letter": (lambda d: d.query_ids.__setitem__(1, "R000009"), "begin with Q in query_ids, found 'R000009'"),
    "nan": (lambda d: d.reference.__setitem__((3, 1), np.nan), "NaN or infinity in .*reference row 3"),
}


@pytest.mark.parametrize("case", sorted(BAD_WRITES))
def test_bad_descriptors_are_not_written(tmp_path, case):
    spoil, message = BAD_WRITES[case]
    held = descriptors()
    spoil(held)
    with pytest.raises(Refusal, match=message):
        write_descriptors(tmp_path / "a.h5", held)
    assert not list(tmp_path.iterdir())


def test_a_set_that_turns_bad_leaves_the_old_file(tmp_path, monkeypatch):
    monkeypatch.setattr(descriptors_file, "BLOCK", 2)
    old, bad = descriptors(), descriptors(seed=1)
    write_descriptors(tmp_path / "a.h5", old)
    bad.reference[3, 0] = np.inf
    rows = CutSet(bad.reference, 5)
    with pytest.raises(Refusal, match=r"a\.h5: .*NaN or infinity in reference row 3"):
        write_descriptors(tmp_path / "a.h5", Submission(bad.query, rows, bad.query_ids, bad.reference_ids))
    assert equal(open_descriptors(tmp_path / "a.h5"), old)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


def test_unequal_widths_are_not_written(tmp_path):
    held = descriptors()
    with pytest.raises(Refusal, match="equal width"):
        write_descriptors(
            tmp_path / "a.h5",
            Submission(held.query[:, :3], held.reference, held.query_ids, held.reference_ids),
        )


BAD_FILES = {
    "missing": ({"reference": None}, r"expected a data set 'reference', found \['query'"),
    "no ids": ({"query_ids": None}, "expected a data set 'query_ids'"),
    "flat": ({"query": np.zeros(3, np.float32)}, r"query as float32 rows .* found float32 of shape \(3,\)"),
    "double": ({"query": np.zeros((3, 4))}, r"found float64 of shape \(3, 4\)"),
    "width": ({"query": np.zeros((3, 6), np.float32)}, "equal width, found 6 and 4"),
    "rows": ({"reference": np.zeros((6, 4), np.float32)}, r"reference, found 5 ids and shape \(6, 4\)"),
    "numbers": ({"query_ids": np.arange(3)}, r"query_ids as a list of texts, found int64 of shape \(3,\)"),
    "table": ({"query_ids": [["Q0"], ["Q1"], ["Q2"]]}, "query_ids as a list of texts"),
    "not UTF-8": ({"query_ids": np.array([b"Q1", b"Q\xff", b"Q3"])}, "query_ids in UTF-8"),
    "twice": ({"query_ids": ["Q1", "Q2", "Q1"]}, "found 'Q1' again in query_ids row 2"),
    "letter": ({"query_ids": ["Q1", "Q2", ""]}, "begin with Q in query_ids, found '' in row 2"),
    "nan": ({"query": np.array([[1, 0, 0, 0]] * 2 + [[np.nan] * 4], np.float32)}, "infinity in query row 2"),
}


@pytest.mark.parametrize("case", sorted(BAD_FILES))
def test_bad_files_are_refused_by_data_set(tmp_path, case):
    others, message = BAD_FILES[case]
    path = published_file(tmp_path / "p.h5", **others)
    with pytest.raises(Refusal, match=r"p\.h5: .*" + message):
        open_descriptors(path)


def test_references_are_checked_when_they_are_read(tmp_path):
    reference = np.ones((5, 4), np.float32)
    reference[4, 2] = np.inf
    read = open_descriptors(published_file(tmp_path / "p.h5", reference=reference))
    assert len(read.reference.read(0, 4)) == 4
    with pytest.raises(Refusal, match=r"p\.h5: .*infinity in reference row 4: extract them again"):
        read.reference.read(2, 5)


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"nothing")
    for name in ("a.h5", "missing.h5"):
        with pytest.raises(Refusal, match="expected an HDF5 file.*" + name):
            open_descriptors(tmp_path / name)


def test_blocks_are_those_of_the_search():
    assert descriptors_file.BLOCK == tiling.BLOCK
