"""NumPy's and torch's products answer alike."""

import numpy as np
import pytest

from encore.search import products
from encore.search.capped import best_pairs
from encore.search.nearest import nearest
from encore.search.products import METRICS, QUERY_TILE, REFERENCE_TILE
from tests.encore.search.cut_set import CutSet
from tests.encore.search.small_products import SmallHostProducts, SmallTorchProducts

KINDS = {"host": SmallHostProducts, "torch": SmallTorchProducts}


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


def whole_numbers(seed, *shape):
    """float32 whole numbers: their products are exact, and ties are many."""
    return np.random.RandomState(seed).randint(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_every_pair(kind, metric):
    made = kind(metric)
    queries, references = whole_numbers(0, 3, 3), whole_numbers(1, 7, 3)
    query = made.tile(40, queries, made.query_tile)
    reference = made.tile(90, references, made.reference_tile)
    scores = made.scores(query, reference)
    assert tuple(scores.shape) == (made.query_tile, made.reference_tile)
    exact = queries @ references.T
    if metric == "squared_l2":
        exact = -((queries[:, None] - references[None]) ** 2).sum(2)
    assert np.array_equal(np.asarray(scores)[:3, :7], exact)
    row, column, score = made.at_least(scores, np.median(exact), query, reference)
    expected = np.nonzero(exact >= np.median(exact))
    assert np.array_equal(row, expected[0] + 40) and np.array_equal(column, expected[1] + 90)
    assert np.array_equal(score, exact[expected]) and score.dtype == np.float32
    bounds = np.linspace(-3, 3, 3).astype(np.float32)
    row, column, score = made.at_least(scores, bounds, query, reference)
    expected = np.nonzero(exact >= bounds[:, None])
    assert np.array_equal(row, expected[0] + 40) and np.array_equal(column, expected[1] + 90)


@pytest.mark.parametrize("share", [0, 0.001, 0.2, 1])
def test_few_and_many_hits_are_found_alike(kind, share):
    made = kind()
    random = np.random.RandomState(2)
    queries = random.standard_normal((made.query_tile, 2)).astype(np.float32)
    references = random.standard_normal((made.reference_tile - 3, 2)).astype(np.float32)
    query = made.tile(0, queries, made.query_tile)
    reference = made.tile(0, references, made.reference_tile)
    scores = made.scores(query, reference)
    inside = np.asarray(scores)[:, : made.reference_tile - 3]
    bound = np.sort(inside.ravel())[int((1 - share) * (inside.size - 1))] if share else np.inf
    row, column, score = made.at_least(scores, bound, query, reference)
    expected = np.nonzero(inside >= bound)
    assert np.array_equal(row, expected[0]) and np.array_equal(column, expected[1])
    assert np.array_equal(score, inside[expected])


@pytest.mark.parametrize("k", [1, 10, 128, 129])
def test_row_bounds_are_reached_by_k_scores_and_few_others(kind, k):
    made = kind()
    random = np.random.RandomState(3)
    queries = random.standard_normal((4, 8)).astype(np.float32)
    for count in (made.reference_tile, 200):
        references = random.standard_normal((count, 8)).astype(np.float32)
        query = made.tile(0, queries, made.query_tile)
        reference = made.tile(0, references, made.reference_tile)
        scores = made.scores(query, reference)
        bounds = made.row_bounds(scores, k, query, reference)
        reached = (np.asarray(scores)[:4, :count] >= bounds[:, None]).sum(axis=1)
        assert bounds.shape == (4,) and (reached >= k).all()
        assert k >= 100 or reached.mean() <= 1.1 * k + 1
    assert (made.row_bounds(scores, 201, query, reference) == -np.inf).all()


@pytest.mark.parametrize("metric", METRICS)
def test_torch_finds_the_same_as_numpy(metric):
    queries, references = whole_numbers(4, 70, 4), whole_numbers(5, 900, 4)
    made = SmallTorchProducts(metric)
    for cut in (1000, 33):
        sides = CutSet(queries, cut), CutSet(references, cut)
        for ours, theirs in zip(nearest(*sides, k=7, products=made), nearest(queries, references, 7, metric)):
            assert np.array_equal(ours, theirs) and ours.dtype == theirs.dtype
        found = best_pairs(sides[0], sides[1], 2000, products=made)
        expected = best_pairs(queries, references, 2000, metric)
        for column in ("query", "reference", "score"):
            assert np.array_equal(getattr(found, column), getattr(expected, column))


def test_torch_multiplies_in_float32_proper(monkeypatch):
    import torch

    seen = []
    multiply = torch.mm

    def spy(*arguments, **options):
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        return multiply(*arguments, **options)

    made = SmallTorchProducts()
    monkeypatch.setattr(torch, "mm", spy)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        tiles = [
            made.tile(0, np.ones((1, 2), np.float32), height)
            for height in (made.query_tile, made.reference_tile)
        ]
        made.scores(*tiles)
        assert seen == [False] and torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def test_groups_divide_the_tile():
    assert REFERENCE_TILE % products.GROUPS == 0
    assert QUERY_TILE * REFERENCE_TILE % 8 == 0
