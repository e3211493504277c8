"""The benchmark of centroids runs; how fast they are is not tested here."""

from benchmarks import centroids
from encore.systems.drip.network import NetworkShape


def test_both_sides_are_measured():
    shape = NetworkShape("resnet", 8, width=4, layers=(1, 1, 1, 1))
    figures = centroids.run(repeats=1, shape=shape, classes=2, batch=2)
    assert figures["views"] == 10 and figures["loader_processes"] >= 1
    assert figures["ratio"] > 0
    assert figures["ratio"] == figures["views_a_second_centroids"] / figures["views_a_second_bare"]
