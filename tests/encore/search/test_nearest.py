import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.runtime.refusal import Refusal
from encore.search.nearest import nearest
from encore.search.products import METRICS, QUERY_TILE, REFERENCE_TILE
from tests.encore.search.cut_set import CutSet
from tests.encore.search.small_products import SmallHostProducts


def by_loops(queries, references, k, metric):
    """[(score, index)] of the k best of every query: one pair at a time in float64, ties to the lower
    index."""
    result = []
    for query in queries.astype(np.float64):
        scored = []
        for index, reference in enumerate(references.astype(np.float64)):
            difference = query - reference
            scored.append(
                (query @ reference if metric == "inner_product" else -(difference @ difference), index)
            )
        result.append(sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k])
    return result


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 600), st.integers(1, 4)),
    k=st.integers(1, 40),
    metric=st.sampled_from(METRICS),
)
def test_equals_the_loops_with_ties(seed, shape, k, metric):
    # small integers: every product is exact, and ties are many
    random = np.random.RandomState(seed)
    queries = random.randint(-2, 3, (shape[0], shape[2])).astype(np.float32)
    references = random.randint(-2, 3, (shape[1], shape[2])).astype(np.float32)
    score, index = nearest(queries, references, k, products=SmallHostProducts(metric))
    expected = by_loops(queries, references, k, metric)
    assert [list(zip(*pair)) for pair in zip(score.tolist(), index.tolist())] == expected


@pytest.mark.parametrize("metric", METRICS)
def test_any_way_of_cutting_gives_the_same_bits(metric, monkeypatch):
    random = np.random.RandomState(3)
    queries = random.standard_normal((QUERY_TILE + 7, 16)).astype(np.float32)
    references = random.standard_normal((9 * REFERENCE_TILE + 101, 16)).astype(np.float32)
    references[REFERENCE_TILE + 50 : REFERENCE_TILE + 80] = references[:30]  # ties over a chunk's border
    score, index = nearest(queries, references, 9, metric)
    for rows, block in ((999, 65536), (REFERENCE_TILE + 1, QUERY_TILE), (10**9, 2 * QUERY_TILE)):
        monkeypatch.setattr("encore.search.tiling.BLOCK", block)
        other = nearest(CutSet(queries, rows), CutSet(references, rows), 9, metric)
        assert np.array_equal(other[0], score) and np.array_equal(other[1], index)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_stay_within_the_stated_bound(metric):
    random = np.random.RandomState(4)
    queries = random.standard_normal((20, 256)).astype(np.float32)
    references = random.standard_normal((REFERENCE_TILE + 200, 256)).astype(np.float32)
    score, index = nearest(queries, references, 5, metric)
    lengths = np.linalg.norm(queries, axis=1).max() * np.linalg.norm(references, axis=1).max()
    bound = 2 * 256 * 2.0**-24 * lengths
    products = queries.astype(np.float64) @ references.T.astype(np.float64)
    exact = (
        products
        if metric == "inner_product"
        else 2 * products
        - (
            (queries.astype(np.float64) ** 2).sum(1)[:, None]
            + (references.astype(np.float64) ** 2).sum(1)[None]
        )
    )
    assert np.abs(score - np.take_along_axis(exact, index, axis=1)).max() < bound
    assert np.abs(score - -np.sort(-exact, axis=1)[:, :5]).max() < bound


def test_worked_example():
    # distances of (1, 0): to (1, 0) 0, to (0, 1) 2, to (3, 0) 4; products 1, 0, 3
    queries, references = np.array([[1, 0]], np.float32), np.array([[1, 0], [0, 1], [3, 0]], np.float32)
    score, index = nearest(queries, references, 3, "squared_l2")
    assert (score.tolist(), index.tolist()) == ([[0, -2, -4]], [[0, 1, 2]])
    score, index = nearest(queries, references, 2)
    assert (score.tolist(), index.tolist()) == ([[3, 1]], [[2, 0]])
    assert (score.dtype, index.dtype) == (np.float32, np.int64)


def test_a_distance_is_never_negative():
    vectors = np.random.RandomState(0).standard_normal((50, 33)).astype(np.float32) * 1000
    score, index = nearest(vectors, vectors, 1, "squared_l2")
    assert (score <= 0).all() and (index[:, 0] == np.arange(50)).all()


def test_empty_sides():
    some, none = np.ones((2, 3), np.float32), np.ones((0, 3), np.float32)
    assert nearest(none, some, 1)[0].shape == (0, 1)
    assert nearest(some, none, 1)[0].shape == (2, 0)


def test_refusals_name_the_row():
    good, bad = np.ones((5, 3), np.float32), np.ones((5, 3), np.float32)
    bad[3, 1] = np.nan
    with pytest.raises(Refusal, match="query row 3"):
        nearest(bad, good, 1)
    with pytest.raises(Refusal, match="reference row 3"):
        nearest(good, bad, 1)
    with pytest.raises(Refusal, match="equal width"):
        nearest(good, np.ones((5, 4), np.float32), 1)
    with pytest.raises(ValueError, match="metric"):
        nearest(good, good, 1, "cosine")
    with pytest.raises(ValueError, match="k is at least 1"):
        nearest(good, good, 0)
