import os

import pytest

from benchmarks import distilled_loading


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("set"))
    distilled_loading.write_set(folder, 40, 16)
    return folder


def test_both_sides_end_in_the_same_batches(folder):
    assert distilled_loading.differing_values(folder, 16) == 0


@pytest.mark.parametrize("side", ["encore", "published"])
def test_measures_one_epoch_in_the_middle(folder, side):
    found = distilled_loading.measured(folder, side, "fork", 16, "yes")
    assert found["images"] == 40 and found["seconds"] > 0 and found["first_batch_seconds"] > 0
    assert 5e7 < found["peak_memory_bytes"] < 4e9


def test_bound(folder):
    assert 1e-5 < distilled_loading.least_seconds(folder) < 0.1
    assert os.path.isdir(os.path.join(folder, "pictures", "new015"))
