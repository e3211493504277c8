import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search.nearest import nearest
from encore.search.nearest_in_blocks import ALIGNED, block_rows, nearest_in_blocks
from encore.search.tiling import InMemory


def whole_numbers(count, seed, width=6):
    """Few different whole numbers: products are exact, and many of them equal."""
    return np.random.RandomState(seed).randint(-2, 3, (count, width)).astype(np.float32)


def by_sorting(queries, references, k):
    """Every query's references by falling score, then number: the definition."""
    scores = queries.dot(references.T)
    order = np.array([sorted(range(len(references)), key=lambda r, s=row: (-s[r], r))[:k] for row in scores])
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("rows", [1, 2, 7, 40, 1000])
def test_the_size_of_a_block_does_not_change_the_result_ties_included(rows):
    queries, references = whole_numbers(23, 0), whole_numbers(150, 1)
    score, index = nearest_in_blocks(queries, references, 9, rows=rows)
    expected_score, expected_index = by_sorting(queries, references, 9)
    assert (expected_score[:, :-1] == expected_score[:, 1:]).any()  # there are ties
    assert np.array_equal(score, expected_score) and np.array_equal(index, expected_index)


def test_aligned_blocks_give_the_bits_of_one_search():
    random = np.random.RandomState(3)
    queries, references = (random.standard_normal((n, 5)).astype(np.float32) for n in (50, 2 * ALIGNED + 5))
    found = nearest_in_blocks(queries, references, 4, rows=ALIGNED)
    for ours, one in zip(found, nearest(queries, references, 4)):
        assert np.array_equal(ours, one)


def test_each_reference_is_read_once_a_block_at_a_time_and_reported():
    reads, met = [], []

    class Watched(InMemory):
        def read(self, first, last):
            reads.append((first, last))
            return super().read(first, last)

    nearest_in_blocks(
        whole_numbers(25, 0), Watched(whole_numbers(45, 1), "reference"), 3, rows=20, advanced=met.append
    )
    assert reads == [(0, 20), (20, 40), (40, 45)]
    assert met == [20, 20, 20, 20, 5, 5]  # two blocks of queries


def test_k_is_cut_to_the_references_and_widths_must_agree():
    score, index = nearest_in_blocks(whole_numbers(2, 0), whole_numbers(3, 1), 10)
    assert score.shape == (2, 3) and sorted(index[0]) == [0, 1, 2]
    with pytest.raises(Refusal, match="equal width"):
        nearest_in_blocks(whole_numbers(2, 0), whole_numbers(3, 1, width=5), 1)


def test_blocks_hold_less_of_wide_descriptors():
    assert block_rows(256) == 65536 and block_rows(8192) == ALIGNED
