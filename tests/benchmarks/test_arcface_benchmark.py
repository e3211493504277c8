import pytest
import torch

if int(torch.__version__.split(".")[0]) < 2:
    pytest.skip("this head needs torch 2", allow_module_level=True)

from benchmarks import arcface


def test_both_sides_give_the_same_gradients_and_are_measured():
    found = arcface.run(batch=16, classes=20000, width=8, repeats=1)
    assert 0 < found["difference_of_gradients"] < 1e-5
    assert found["seconds_encore"] > 0 and found["seconds_literal"] > 0
    assert 0 < found["memory_ratio"] < 1
