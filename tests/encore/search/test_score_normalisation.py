import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.runtime.refusal import Refusal
from encore.search import tiling
from encore.search.products import QUERY_TILE, REFERENCE_TILE, TorchProducts
from encore.search.score_normalisation import PUBLISHED, ScoreNormalisation, normalised_pairs
from tests.encore.search.cut_set import CutSet
from tests.encore.search.small_products import SmallHostProducts
from tests.golden_files import golden


@pytest.fixture(scope="module")
def sides():
    with np.load(str(golden("isc/scorenorm_in.npz"))) as arrays:
        return {name: arrays[name] for name in arrays.files}


def golden_rows(name, reverse):
    """({(query side row, other side row): score}, [those pairs in the order of the file])."""
    with gzip.open(str(golden("isc/scorenorm_{}.csv.gz".format(name))), "rt") as file:
        lines = file.read().splitlines()
    assert lines[0] == "query_id,reference_id,score"
    pairs, scores = [], []
    for line in lines[1:]:
        left, right, score = line.split(",")
        base, part = left.split("_")
        number = 5 * int(base[1:]) if reverse else 4 * (int(base[1:]) - 50000)
        pairs.append((number + int(part), int(right[1:]) - (50000 if reverse else 0)))
        scores.append(float(score))
    return dict(zip(pairs, scores)), pairs


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(
    "name",
    ["forward_avg_1000", "forward_avg_3000", "forward_min_500", "reverse_avg_1000", "reverse_avg_3000"],
)
def test_equals_the_published_search(sides, name, device):
    with open(str(golden("isc/scorenorm.json"))) as file:
        about = json.load(file)[name]
    direction, reduction, count = name.split("_")
    products = TorchProducts(device) if device else None
    norms = ScoreNormalisation(10, 2.0, reduction).norms(sides["query"], sides["train"], products)
    assert norms.dtype == np.float32
    assert np.abs(norms - np.array(about["norms"])).max() < 1e-6
    if direction == "forward":
        pairs = normalised_pairs(sides["query"], sides["reference"], norms, int(count), "queries", products)
    else:
        pairs = normalised_pairs(
            sides["reference"], sides["query"], norms, int(count), "references", products
        )
    found = dict(zip(zip(pairs.query.tolist(), pairs.reference.tolist()), pairs.score.tolist()))
    expected, order = golden_rows(name, direction == "reverse")
    # an exact search has all `count` pairs; the published one gives one less in its forward runs
    assert len(pairs) == int(count) and len(expected) == int(count) - (direction == "forward")
    extra = found.keys() - expected.keys()
    assert not expected.keys() - found.keys()
    assert [found[pair] for pair in extra] == [pairs.score.min()] * (int(count) - len(expected))
    assert max(abs(found[pair] - expected[pair]) for pair in expected) <= 2e-6
    # the order of rows is the published one: by query, then by reference
    assert [pair for pair in found if pair not in extra] == order


def test_worked_example():
    # products with training (.8,.6), (0,1), (-1,0): Q0 .8, 0, -1; Q1 .96, .8, -.6
    # mean of the best 2: .4, .88; norms -.8, -1.76
    queries = np.array([[1, 0], [0.6, 0.8]], np.float32)
    references = np.array([[1, 0], [0, 1]], np.float32)
    training = np.array([[0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    norms = ScoreNormalisation(2, 2.0, "avg").norms(queries, training)
    assert norms == pytest.approx([-0.8, -1.76], abs=1e-6)
    # 1 - .8, 0 - .8, .6 - 1.76, .8 - 1.76
    pairs = normalised_pairs(queries, references, norms, 4)
    assert list(zip(pairs.query.tolist(), pairs.reference.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert ["{:.6f}".format(score) for score in pairs.score] == [
        "0.200000",
        "-0.800000",
        "-1.160000",
        "-0.960000",
    ]
    # reverse: the same numbers with the sides swapped, by reference
    pairs = normalised_pairs(references, queries, norms, 4, "references")
    assert list(zip(pairs.query.tolist(), pairs.reference.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert pairs.score == pytest.approx([0.2, -1.16, -0.8, -0.96], abs=1e-6)
    # "min" takes the second best: norms -2 * 0, -2 * .8
    assert ScoreNormalisation(2, 2.0, "min").norms(queries, training) == pytest.approx([0, -1.6], abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12)),
    neighbours=st.integers(1, 12),
    reduction=st.sampled_from(["avg", "min"]),
    factor=st.sampled_from([2.0, 1.0, -0.5]),
    count=st.integers(1, 150),
    reverse=st.booleans(),
)
def test_equals_the_formula_pair_by_pair(seed, shape, neighbours, reduction, factor, count, reverse):
    # entries are halves, neighbours a power of two: float32 is exact, and ties are many
    random = np.random.RandomState(seed)
    neighbours = 2 ** int(np.log2(min(neighbours, shape[2])))
    queries, references, training = (random.randint(-2, 3, (size, 2)) / 2 for size in shape)
    beta = []
    for query in queries:
        best = sorted((float(query @ vector) for vector in training), reverse=True)[:neighbours]
        beta.append(best[-1] if reduction == "min" else sum(best) / neighbours)
    every = []
    for i, query in enumerate(queries):
        for j, reference in enumerate(references):
            every.append((float(query @ reference) - factor * beta[i],) + ((j, i) if reverse else (i, j)))
    every = sorted(every, key=lambda row: (-row[0], row[1], row[2]))[:count]
    products = SmallHostProducts()
    norms = ScoreNormalisation(neighbours, factor, reduction).norms(queries, training, products)
    found = (
        normalised_pairs(references, queries, norms, count, "references", products)
        if reverse
        else normalised_pairs(queries, references, norms, count, products=products)
    )
    rows = list(zip(found.score.tolist(), found.query.tolist(), found.reference.tolist()))
    assert rows == sorted(every, key=lambda row: row[1:])


@pytest.mark.parametrize("side", ["queries", "references"])
def test_equals_float64_on_unit_vectors_with_copies(side, monkeypatch):
    random = np.random.RandomState(5)
    sets = []
    for count in (300, 5 * REFERENCE_TILE + 500, 400):
        vectors = random.standard_normal((count, 32)).astype(np.float32)
        vectors[count // 2 : count // 2 + 40] = vectors[:40]  # copies: equal scores in different tiles
        sets.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    queries, references, training = sets
    products = queries.astype(np.float64) @ training.T.astype(np.float64)
    beta = -np.sort(-products, axis=1)[:, :10].mean(axis=1)
    exact = queries.astype(np.float64) @ references.T.astype(np.float64) - 2 * beta[:, None]
    norms = PUBLISHED.norms(queries, training)
    if side == "references":
        queries, references, exact = references, queries, exact.T
    found = normalised_pairs(queries, references, norms, 5000, side)
    assert np.abs(exact[found.query, found.reference] - found.score).max() < 2e-6
    kept = np.zeros(exact.shape, dtype=bool)
    kept[found.query, found.reference] = True
    assert kept.sum() == len(found) == 5000
    assert exact[~kept].max() <= exact[kept].min() + 4e-6
    # equal scores at the cut: the lower query, then the lower reference stays
    for cut, block in ((777, 65536), (50000, QUERY_TILE)):
        monkeypatch.setattr(tiling, "BLOCK", block)
        cuts = [CutSet(vectors, cut) for vectors in (queries, references)]
        again = normalised_pairs(cuts[0], cuts[1], norms, 5000, side)
        assert all(
            np.array_equal(getattr(found, column), getattr(again, column))
            for column in ("query", "reference", "score")
        )
        sides = {"queries": cuts[0], "references": cuts[1]}
        assert np.array_equal(PUBLISHED.norms(sides[side], CutSet(training, cut)), norms)


def test_the_published_values():
    assert (PUBLISHED.neighbours, PUBLISHED.factor, PUBLISHED.reduction) == (10, 2.0, "avg")


def test_refusals():
    with pytest.raises(Refusal, match="reduction"):
        ScoreNormalisation(reduction="mean")
    with pytest.raises(Refusal, match="neighbours"):
        ScoreNormalisation(neighbours=0)
    some = np.ones((9, 2), np.float32)
    with pytest.raises(Refusal, match="at least 10 training descriptors for score normalisation, found 9"):
        PUBLISHED.norms(some, some)
    with pytest.raises(Refusal, match="one norm for each of the 9 queries, found shape"):
        normalised_pairs(some, some, np.ones(8), 5)
    with pytest.raises(Refusal, match="equal width"):
        normalised_pairs(some, np.ones((9, 3)), np.ones(9), 5)
