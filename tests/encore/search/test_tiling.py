import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search import tiling
from encore.search.products import DEVICE_TILES, QUERY_TILE, REFERENCE_TILE, HostProducts
from encore.search.tiling import InMemory, WithColumn, first_row_not_finite, rows_of, tile_pairs
from tests.encore.search.cut_set import CutSet


def test_tiles_keep_their_absolute_positions_however_the_sets_are_cut(monkeypatch):
    monkeypatch.setattr(tiling, "BLOCK", QUERY_TILE)
    queries = np.arange(2.0 * QUERY_TILE + 5, dtype=np.float32)[:, None]
    references = np.arange(5.0 * REFERENCE_TILE + 3, dtype=np.float32)[:, None]
    for rows in (700, 10**9):
        met = {}
        for query, reference in tile_pairs(CutSet(queries, rows), CutSet(references, rows), HostProducts()):
            assert query.first % QUERY_TILE == 0 and reference.first % REFERENCE_TILE == 0
            assert query.vectors.shape == (QUERY_TILE, 1) and reference.vectors.shape == (REFERENCE_TILE, 1)
            for tile, whole in ((query, queries), (reference, references)):
                expected = whole[tile.first : tile.first + len(tile.vectors)]
                assert len(expected) == tile.rows and np.array_equal(tile.vectors[: tile.rows], expected)
                assert not tile.vectors[tile.rows :].any()
            met.setdefault(query.first, []).append(reference.first)
        assert met == {
            first: [n * REFERENCE_TILE for n in range(6)] for first in range(0, len(queries), QUERY_TILE)
        }


def test_only_one_block_of_either_set_is_asked_for_at_a_time(monkeypatch):
    monkeypatch.setattr(tiling, "BLOCK", QUERY_TILE)
    sides = [CutSet(np.ones((5000, 1), np.float32), 999) for _ in range(2)]
    assert sum(1 for _ in tile_pairs(sides[0], sides[1], HostProducts())) == 3 * 10
    assert [side.largest_read for side in sides] == [QUERY_TILE, QUERY_TILE]


def test_blocks_hold_whole_tiles():
    for height in (QUERY_TILE, REFERENCE_TILE) + DEVICE_TILES:
        assert tiling.BLOCK % height == 0


def test_a_column_is_appended_as_float32():
    rows = WithColumn(CutSet(np.array([[1, 2], [3, 4], [5, 6]], np.float32), 2), np.array([0.1, 0.2, 0.3]))
    assert rows.shape == (3, 3)
    expected = np.array([[3, 4, 0.2], [5, 6, 0.3]], dtype=np.float32)
    assert np.array_equal(rows.read(1, 3), expected) and rows.read(1, 3).dtype == np.float32
    assert WithColumn(rows, 1).read(0, 1)[0, -1] == 1


def test_sets_are_checked():
    with pytest.raises(Refusal, match="query row 70000"):
        InMemory(np.concatenate([np.ones((70000, 1)), [[np.inf]]]), "query")
    with pytest.raises(Refusal, match="rows of a table"):
        rows_of(np.ones(3), "query")
    some = CutSet(np.ones((2, 2), np.float32), 1)
    assert rows_of(some, "query") is some
    assert first_row_not_finite(np.ones((70000, 1), np.float32)) is None
