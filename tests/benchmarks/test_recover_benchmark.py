"""The two sides of the benchmark of recover agree; how fast they are is not tested here."""

import dataclasses

from benchmarks import recover


def test_both_sides_find_the_same_terms():
    figures = recover.run(repeats=1, recipe=dataclasses.replace(recover.RECIPE, size=32), iterations=1)
    assert figures["difference_of_terms"] <= 1e-6
    assert figures["ratio"] > 0 and figures["rounds"] == 1
