import numpy as np
import pytest

from encore.systems.reid.branch_drop import kept_branches
from tests.encore.systems.reid.reid_formula import read

PUBLISHED = read("parts_H.json")["xent"]


def test_by_hand():
    # numpy seed 0: 4 is drawn and not used, then 5, 0, 3, 3, 3, 1
    assert kept_branches(7, 6, np.random.RandomState(0)) == [2, 4, 6]


@pytest.mark.parametrize("row", PUBLISHED)
def test_published_branches_and_the_number_drawn_next(row):
    rng = np.random.RandomState(row["np_seed"])
    assert kept_branches(row.get("branches", 7), row["drop"], rng) == row["kept"]
    if "next_np" in row:
        assert rng.uniform() == row["next_np"]


def test_without_dropping_nothing_is_drawn():
    rng = np.random.RandomState(3)
    assert kept_branches(4, 0, rng) == [0, 1, 2, 3]
    assert rng.uniform() == np.random.RandomState(3).uniform()


def test_shares_are_those_of_draws_with_replacement():
    rng = np.random.RandomState(1)
    counts = [len(kept_branches(7, 6, rng)) for _ in range(4000)]
    assert np.mean(counts) == pytest.approx(7 * (6 / 7) ** 6, abs=0.06)
    singles = [len(kept_branches(2, 6, rng)) == 1 for _ in range(2000)]
    assert all(singles)  # six draws of two erase one of them at least, and one is always left
