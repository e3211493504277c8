import numpy as np
import pytest

from encore.search import spread_search
from encore.search.products import QUERY_TILE
from encore.search.spread_search import SearchHere, SpreadSearch


def vectors(rows, seed):
    """Small integers: many scores are equal, so that the rule for ties decides."""
    return np.random.RandomState(seed).randint(-2, 3, (rows, 6)).astype(np.float32)


QUERIES, REFERENCES = vectors(QUERY_TILE + 700, 0), vectors(900, 1)


@pytest.mark.parametrize("count", [1, 5000, 10**7])
def test_blocks_give_the_best_pairs_of_the_whole(tmp_path, count):
    queries, references = QUERIES, REFERENCES[: 900 if count < 10**7 else 20]
    found = SpreadSearch(tmp_path).best_pairs(queries, references, count)
    whole = SearchHere().best_pairs(queries, references, count)
    for name in ("query", "reference", "score"):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name


@pytest.mark.parametrize("metric", ["inner_product", "squared_l2"])
def test_blocks_give_the_nearest_of_the_whole(tmp_path, metric):
    rough = np.random.RandomState(2).randn(len(QUERIES), 6).astype(np.float32)
    for queries in (QUERIES, rough):
        found = SpreadSearch(tmp_path).nearest(queries, REFERENCES, 7, metric)
        whole = SearchHere().nearest(queries, REFERENCES, 7, metric)
        assert all(np.array_equal(a, b) for a, b in zip(found, whole))


def test_a_finished_block_is_kept_and_other_descriptors_are_searched(tmp_path, monkeypatch):
    SpreadSearch(tmp_path).best_pairs(QUERIES, REFERENCES, 10)
    asked = []

    def counted(make_worker, units, workers, *others):
        asked.extend(units)
        return map(make_worker(), units)

    monkeypatch.setattr(spread_search, "map_units", counted)
    next(tmp_path.glob("pairs10-*-{}.npz".format(QUERY_TILE))).unlink()
    SpreadSearch(tmp_path).best_pairs(QUERIES, REFERENCES, 10)
    assert asked == [QUERY_TILE]
    SpreadSearch(tmp_path).best_pairs(QUERIES + 1, REFERENCES, 10)
    assert asked == [QUERY_TILE, 0, QUERY_TILE]


def test_a_block_ends_with_a_tile(tmp_path):
    with pytest.raises(ValueError, match="1000 queries does not end with a tile"):
        SpreadSearch(tmp_path, 1000)
