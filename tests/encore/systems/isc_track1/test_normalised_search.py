import os

import numpy as np
import pytest

from encore.data.descriptors import chunk_path, write_descriptors
from encore.runtime.refusal import Refusal
from encore.search import score_normalisation
from encore.search.products import HostProducts, TorchProducts
from encore.systems.isc_track1.normalised_search import (
    NormalisedSearch,
    NormaliseParameters,
    forward_list,
    lists_of,
    norms_path,
    reverse_list,
)
from encore.systems.isc_track1.test_plan import TestPlan as Plan

FORWARD = forward_list("baseline_CC", "50", 64, 64)
REVERSE = reverse_list("50", 64)
QUERIES = ["Q{:05d}_{}".format(number, k) for number in range(50000, 50010) for k in (0, 1, 10)]
REFERENCES = ["R{:06d}".format(number) for number in range(40)]


def unit(seed, count, width=8):
    vectors = np.random.RandomState(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Place:
    """Descriptor files of one model, cut into chunks of 13 rows."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.names = os.path.join(self.folder, "dev_queries_exp_VD")
        with open(self.names, "w") as file:
            file.write("\n".join(QUERIES))
        parts = ["{}_{}".format(name, k) for name in REFERENCES for k in range(3)]
        originals = sorted({name.split("_")[0] for name in QUERIES})
        training = ["T{:06d}".format(number) for number in range(25)]
        self.vectors = {}
        for sets, name, ids in (
            (FORWARD, FORWARD.queries, QUERIES),
            (FORWARD, FORWARD.references, REFERENCES),
            (FORWARD, "train_byol.hdf5", training),
            (REVERSE, REVERSE.queries, parts),
            (REVERSE, REVERSE.references, originals),
            (REVERSE, "train_byol.hdf5", training),
        ):
            self.write(sets, name, ids, unit(len(self.vectors), len(ids)))

    def pattern(self, sets, name):
        return os.path.join(self.folder, "descriptors", sets.folder, name)

    def write(self, sets, name, ids, vectors):
        pattern = self.pattern(sets, name)
        os.makedirs(os.path.dirname(pattern), exist_ok=True)
        for chunk, first in enumerate(range(0, len(ids), 13)):
            rows = slice(first, first + 13)
            names = ["pictures/{}.jpg".format(one) for one in ids[rows]]
            write_descriptors(chunk_path(pattern, chunk), vectors[rows], names)
        self.vectors[sets.folder, name] = (ids, vectors)

    def search(self, products=None, parameters=None, **norms):
        return NormalisedSearch(
            os.path.join(self.folder, "descriptors"),
            parameters or NormaliseParameters(max_results=100),
            self.names,
            products or HostProducts(),
            **norms,
        )

    def to_file(self, sets, **options):
        return self.search(**options).to_file(
            sets, os.path.join(self.folder, "lists"), os.path.join(self.folder, "records")
        )

    def rows(self, sets):
        with open(os.path.join(self.folder, "lists", sets.output)) as file:
            return [line.split(",") for line in file.read().splitlines()]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_published_names():
    assert forward_list("face_BW", "152", 200, 256)[:2] == (
        "face_BW/152/200",
        "final_200/V5_face_BW/152/predictions_dev_queries_50k_normalized_exp_VD.csv",
    )
    assert forward_list("baseline_CC_pair", "50", 256, 256).output.startswith("final/V5_baseline_CC_pair/50/")
    assert reverse_list("ibn", 256)[:2] == (
        "baseline_CC_ref/ibn/256",
        "final/V5_baseline_CC_ref/ibn/predictions_dev_queries_50k_normalized_exp.csv",
    )


def test_the_lists_of_a_group():
    plan = Plan(("baseline_CC", "face_BW"), ("baseline_CC_pair",), ("50", "ibn"), ("all",), (64, 48, 80), 64)
    lists = lists_of("all", plan)
    # 2 tags x 2 backbones x 3 scales, 2 reverse lists, 2 pair models at one scale
    assert len({sets.output for sets in lists}) == len(lists) == 12 + 2 + 2
    assert [sets.norms_of for sets in lists].count("references") == 2
    assert [sets.folder for sets in lists_of("baseline_CC-ibn", plan)] == [
        "baseline_CC/ibn/64",
        "baseline_CC/ibn/48",
        "baseline_CC/ibn/80",
        "baseline_CC_ref/ibn/64",
    ]
    assert [sets.folder for sets in lists_of("baseline_CC_pair-50", plan)] == ["baseline_CC_pair/50/64"]
    with pytest.raises(Refusal, match="group"):
        lists_of("baseline_CC-152", plan)


@pytest.mark.parametrize("sets", [FORWARD, REVERSE])
@pytest.mark.parametrize("products", [HostProducts, lambda: TorchProducts("cpu")])
def test_a_list_is_that_of_the_formula(place, sets, products):
    assert place.to_file(sets, products=products()) == 100
    left_ids, left = place.vectors[sets.folder, sets.queries]
    right_ids, right = place.vectors[sets.folder, sets.references]
    training = place.vectors[sets.folder, "train_byol.hdf5"][1]
    normed = (left if sets is FORWARD else right).astype(np.float64)
    beta = -np.sort(-(normed @ training.T), axis=1)[:, :10].mean(axis=1)
    exact = left.astype(np.float64) @ right.T - 2 * (beta[:, None] if sets is FORWARD else beta[None, :])
    best = np.argsort(-exact.ravel())[:100]
    lines = place.rows(sets)
    assert lines[0] == ["query_id", "reference_id", "score"]
    expected = [(left_ids[at // len(right)], right_ids[at % len(right)]) for at in np.sort(best)]
    assert [tuple(line[:2]) for line in lines[1:]] == expected
    assert lines[1][0].startswith("Q" if sets is FORWARD else "R")
    for line, at in zip(lines[1:], np.sort(best)):
        assert abs(float(line[2]) - exact.ravel()[at]) < 2e-6 and len(line[2].partition(".")[2]) == 6


def test_a_finished_list_of_the_same_files_is_kept(place, monkeypatch):
    place.to_file(FORWARD)
    before = place.rows(FORWARD)

    def no_work(*arguments, **options):
        raise AssertionError("made again")

    monkeypatch.setattr(score_normalisation, "best_pairs", no_work)
    assert place.to_file(FORWARD) == 100
    for spoil in (
        lambda: place.write(FORWARD, "train_byol.hdf5", ["T{}".format(i) for i in range(25)], unit(77, 25)),
        lambda: open(os.path.join(place.folder, "lists", FORWARD.output), "a").write("more"),
    ):
        spoil()
        with pytest.raises(AssertionError, match="made again"):
            place.to_file(FORWARD)
        monkeypatch.undo()
        place.to_file(FORWARD)
        monkeypatch.setattr(score_normalisation, "best_pairs", no_work)
    with pytest.raises(AssertionError, match="made again"):
        place.to_file(FORWARD, parameters=NormaliseParameters(max_results=99))
    assert len(place.rows(FORWARD)) == len(before)


@pytest.mark.parametrize("sets", [FORWARD, REVERSE])
def test_norms_are_saved_and_read(place, sets):
    place.to_file(sets)
    place.to_file(sets, norms=os.path.join(place.folder, "norms"))  # though the list itself is there
    path = norms_path(os.path.join(place.folder, "norms"), sets)
    norms = np.load(path)
    assert norms.dtype == np.float32 and norms.shape == ((30,) if sets is FORWARD else (10,))
    computed = place.rows(sets)
    place.to_file(sets, read_norms=os.path.join(place.folder, "norms"))
    assert place.rows(sets) == computed
    np.save(path, norms - np.float32(1))
    place.to_file(sets, read_norms=os.path.join(place.folder, "norms"))
    lower = [float(line[2]) for line in place.rows(sets)[1:]]
    assert lower == pytest.approx([float(line[2]) - 1 for line in computed[1:]], abs=2e-6)
    for wrong in (norms[1:], norms.astype(np.float64), norms * np.nan):
        np.save(path, wrong)
        with pytest.raises(Refusal, match="norms.npy: expected"):
            place.to_file(sets, read_norms=os.path.join(place.folder, "norms"))
    with open(path, "w") as file:
        file.write("no array")
    with pytest.raises(Refusal, match="norms.npy: not an array"):
        place.to_file(sets, read_norms=os.path.join(place.folder, "norms"))


def test_queries_must_be_those_of_the_list(place):
    place.write(FORWARD, FORWARD.queries, QUERIES[:29], unit(0, 29))
    with pytest.raises(
        Refusal, match=r"query_2_byol_VD_50k.hdf5: expected descriptors of 30 .* none of Q50009_10"
    ):
        place.to_file(FORWARD)
    place.write(FORWARD, FORWARD.queries, QUERIES + ["Q50011_0"], unit(0, 31))
    with pytest.raises(Refusal, match="30 queries, found 31, also one of Q50011_0"):
        place.to_file(FORWARD)
    place.write(REVERSE, REVERSE.references, ["Q50000"], unit(0, 1))
    with pytest.raises(Refusal, match="query_0_byol.hdf5: expected descriptors of 10 queries, found 1"):
        place.to_file(REVERSE)


def test_bad_descriptors_are_refused_by_file(place):
    bad = unit(0, 40)
    bad[15] *= 2
    place.write(FORWARD, FORWARD.references, REFERENCES, bad)
    with pytest.raises(Refusal, match="length 2.000000 in .*references_1_byol.hdf5 row 2"):
        place.to_file(FORWARD)
    place.write(FORWARD, FORWARD.references, REFERENCES, unit(0, 40, width=7))
    with pytest.raises(Refusal, match="equal width"):
        place.to_file(FORWARD)
    place.write(FORWARD, FORWARD.references, REFERENCES, unit(0, 40))
    os.unlink(chunk_path(place.pattern(FORWARD, FORWARD.references), 1))
    with pytest.raises(Refusal, match="references_1_byol.hdf5: missing"):
        place.to_file(FORWARD)
    assert not os.path.exists(os.path.join(place.folder, "lists"))


def test_too_few_training_descriptors_are_refused(place):
    with pytest.raises(Refusal, match="at least 26 training descriptors .* found 25"):
        place.to_file(FORWARD, parameters=NormaliseParameters(neighbours=26))


def test_the_list_of_names_is_needed(place):
    open(place.names, "w").close()
    with pytest.raises(Refusal, match="dev_queries_exp_VD: expected names"):
        place.search()
    os.unlink(place.names)
    with pytest.raises(Refusal, match="dev_queries_exp_VD: missing"):
        place.search()
