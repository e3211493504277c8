import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.search.capped import HeldPairs, best_pairs
from encore.search.products import QUERY_TILE, REFERENCE_TILE
from tests.encore.search.cut_set import CutSet
from tests.encore.search.small_products import SmallHostProducts
from tests.golden_files import golden


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    queries=st.integers(1, 20),
    references=st.integers(1, 8),
    count=st.integers(1, 70),
)
def test_equals_sorting_all_pairs(seed, queries, references, count):
    # small integers: every distance is exact, and ties at the cut are many
    random = np.random.RandomState(seed)
    query = random.randint(-1, 2, (queries, 2)).astype(np.float32)
    reference = random.randint(-1, 2, (references, 2)).astype(np.float32)
    every = [
        (-float(((q - r) ** 2).sum()), i, j) for i, q in enumerate(query) for j, r in enumerate(reference)
    ]
    pairs = best_pairs(query, reference, count, products=SmallHostProducts("squared_l2"))
    assert (
        list(zip(pairs.score.tolist(), pairs.query.tolist(), pairs.reference.tolist()))
        == sorted(every, key=lambda pair: (-pair[0], pair[1], pair[2]))[:count]
    )


def test_ties_at_the_cut_over_several_tiles_go_to_the_lower_query_then_reference():
    queries, references = (
        np.zeros((QUERY_TILE + 10, 1), np.float32),
        np.zeros((REFERENCE_TILE + 10, 1), np.float32),
    )
    references[-3:] = 1  # all other pairs are tied at 0
    pairs = best_pairs(queries, references, 5000)
    place = np.arange(5000)
    assert pairs.query.tolist() == (place // (REFERENCE_TILE + 7)).tolist()
    assert pairs.reference.tolist() == (place % (REFERENCE_TILE + 7)).tolist()


def test_any_way_of_cutting_gives_the_same_bits(monkeypatch):
    random = np.random.RandomState(1)
    queries = random.standard_normal((2 * QUERY_TILE + 5, 8)).astype(np.float32)
    references = random.standard_normal((9 * REFERENCE_TILE + 9, 8)).astype(np.float32)
    first = best_pairs(queries, references, 1000)
    every = -((queries.astype(np.float64)[:, None] - references.astype(np.float64)[None, :2000]) ** 2).sum(2)
    inside = first.reference < 2000
    assert np.allclose(every[first.query[inside], first.reference[inside]], first.score[inside], atol=1e-4)
    assert (every > first.score[-1] + 1e-4).sum() <= inside.sum()
    for rows, block in ((999, 65536), (5000, QUERY_TILE), (10**9, 2 * QUERY_TILE)):
        monkeypatch.setattr("encore.search.tiling.BLOCK", block)
        other = best_pairs(CutSet(queries, rows), CutSet(references, rows), 1000)
        assert all(
            np.array_equal(getattr(first, column), getattr(other, column))
            for column in ("query", "reference", "score")
        )


def test_orthogonal_unit_vectors_are_at_squared_distance_two():
    # |(1, 0) - (0, 1)|^2 = 1 + 1, published as score -2.000000; the inner product is 0
    pairs = best_pairs(np.array([[1, 0]]), np.array([[0, 1]]), 10)
    assert (pairs.query.tolist(), pairs.reference.tolist(), pairs.score.tolist()) == ([0], [0], [-2.0])
    assert best_pairs(np.array([[1, 0]]), np.array([[0, 1]]), 10, metric="inner_product").score.tolist() == [
        0.0
    ]


@pytest.mark.parametrize("count, name", [(400, "l2_top400"), (20000, "l2_top20000")])
def test_equals_the_official_search(count, name):
    with np.load(str(golden("isc/track2_descriptors.npz"))) as published:
        pairs = best_pairs(published["stretched/avg-2.5"], published["multi_scale/references"], count)
        expected = {(int(query), int(reference)): score for query, reference, score in published[name]}
    assert len(pairs) == len(expected) == min(count, 40 * 300)
    found = dict(zip(zip(pairs.query.tolist(), pairs.reference.tolist()), pairs.score.tolist()))
    assert found.keys() == expected.keys()
    assert max(abs(found[pair] - expected[pair]) for pair in expected) < 1e-5


def test_no_more_than_twice_the_wanted_pairs_are_held():
    held, wanted = HeldPairs(10, 1000), []
    for number in range(100):
        score = np.random.RandomState(number).randint(0, 50, 7).astype(np.float32)
        held.add(np.full(7, number), np.arange(7), score)
        wanted.extend((-value, number, column) for column, value in enumerate(score.tolist()))
        assert sum(len(part[1]) for part in held._parts) <= 20
    best = held.best("score")
    assert (
        list(zip((-best.score).tolist(), best.query.tolist(), best.reference.tolist())) == sorted(wanted)[:10]
    )


def test_nothing_to_search_and_nothing_wanted():
    assert len(best_pairs(np.ones((0, 2)), np.ones((3, 2)), 5)) == 0
    assert len(best_pairs(np.ones((3, 2)), np.ones((0, 2)), 5)) == 0
    with pytest.raises(ValueError, match="order"):
        best_pairs(np.ones((1, 2)), np.ones((1, 2)), 1, order="reference")
    with pytest.raises(ValueError, match="count"):
        best_pairs(np.ones((1, 2)), np.ones((1, 2)), 0)
