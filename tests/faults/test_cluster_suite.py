"""The suite `cluster` at its short size on a real cluster, and that it tells a broken subject."""

import importlib.util

import pytest
from outside_programs import lacking


@pytest.fixture(scope="module")
def injections(tmp_path_factory):
    if importlib.util.find_spec("ray") is None:
        lacking("Ray is not installed (locks/faults.txt)")
    from faults.cluster.injections import Injections
    from faults.cluster.loopback import LoopbackCluster

    with LoopbackCluster(nodes=3) as cluster:
        yield Injections(cluster, tmp_path_factory.mktemp("cluster"))


def test_nothing_is_lost(injections):
    rows = list(injections.short())
    assert [row.kind for row in rows] == ["node killed", "same digest on 3 nodes"]
    assert [row.losses for row in rows] == [(), ()]


def test_a_result_that_depends_on_the_process_is_told(injections):
    row = injections.row("broken", "same digest on 3 nodes", lambda: injections.same("broken"))
    assert row.lost == 1 and "0.txt differs" in row.losses[0]
