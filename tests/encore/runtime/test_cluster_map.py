"""The order, the bound and the end of units on a cluster, with a stand-in for Ray; with Ray: tests/faults."""

import os
import pickle
import socket
import subprocess
import sys

import pytest

from encore.runtime import cluster_map
from encore.runtime.atomic import replacing
from encore.runtime.cluster_map import Needs, _in_order, _job_folder, _remove_temporaries, _variables
from encore.runtime.cluster_worker import DONE, REFUSED, TOKEN
from encore.runtime.loaded_code import import_folders
from encore.runtime.refusal import Refusal


class StandIn:
    """Ray as `_in_order` uses it: a unit that was submitted is done when it is asked for."""

    class exceptions:
        class RayTaskError(Exception):
            def __init__(self, cause):
                super().__init__(str(cause))
                self.cause = cause

        class WorkerCrashedError(Exception):
            pass

        class OutOfMemoryError(Exception):
            pass

    def __init__(self, processors=3):
        self.processors, self.under_way, self.most = processors, [], 0
        self.endless, self.cancelled, self.interruptions = [], [], 0

    def nodes(self):
        return [
            {"Alive": True, "Resources": {"CPU": self.processors}},
            {"Alive": True, "Resources": {}},
            {"Alive": False, "Resources": {"CPU": 64}},
        ]

    def submit(self, unit):
        self.under_way.append(unit)
        self.most = max(self.most, len(self.under_way))
        return unit

    def wait(self, references, num_returns=1, timeout=None):
        if self.interruptions:
            self.interruptions -= 1
            raise KeyboardInterrupt
        endless = [unit for unit in references if unit in self.endless]
        return [unit for unit in references if unit not in endless], endless

    def get(self, unit):
        self.under_way.remove(unit)
        if isinstance(unit, Exception):
            raise unit
        return pickle.dumps(unit if isinstance(unit, tuple) else (DONE, unit * unit))

    def is_initialized(self):
        return True

    def cancel(self, reference, force):
        self.cancelled.append((reference, force))


@pytest.fixture
def results(tmp_path):
    (tmp_path / TOKEN).touch()
    return lambda ray, units: _in_order(ray, ray.submit, units, Needs(1, False), str(tmp_path))


def test_two_units_a_processor_are_under_way_at_most(results):
    ray = StandIn(processors=3)
    assert list(results(ray, list(range(50)))) == [i * i for i in range(50)]
    assert ray.most == 6 and ray.cancelled == []


def test_nodes_that_come_are_used(results, monkeypatch):
    monkeypatch.setattr(cluster_map, "LOOK_SECONDS", 0)
    ray = StandIn(processors=1)
    found = results(ray, list(range(50)))
    assert [next(found) for _ in range(10)] == [i * i for i in range(10)] and ray.most == 2
    ray.processors = 5
    assert len(list(found)) == 40 and ray.most == 10


def test_what_a_unit_refused_ends_the_others(results, tmp_path):
    ray = StandIn()
    with pytest.raises(Refusal, match="^mend it$"):
        list(results(ray, [1, (REFUSED, "mend it"), 2, 3]))
    assert not (tmp_path / TOKEN).exists() and ray.cancelled == []


def test_an_error_of_our_code_is_raised_as_itself(results):
    with pytest.raises(ZeroDivisionError, match="unit 1"):
        list(results(StandIn(), [StandIn.exceptions.RayTaskError(ZeroDivisionError("unit 1"))]))


@pytest.mark.parametrize("name", ["WorkerCrashedError", "OutOfMemoryError"])
def test_a_unit_whose_process_always_dies_is_named(results, name):
    units = [1, getattr(StandIn.exceptions, name)("gone"), 2]
    with pytest.raises(Refusal, match="unit 2 of 3 has died 11 times with its process .{}".format(name)):
        list(results(StandIn(), units))


def test_a_consumer_that_stops_ends_the_units(results, tmp_path):
    """None begins any more; those that do not end by themselves are killed, and nothing else is cancelled."""
    ray = StandIn()
    found = results(ray, list(range(50)))
    next(found)
    assert (tmp_path / TOKEN).exists()
    ray.endless = [2, 4]
    found.close()
    assert not (tmp_path / TOKEN).exists() and ray.cancelled == [(4, True), (2, True)]


@pytest.mark.parametrize("times, cancelled", [(1, [4, 2]), (2, [6, 5, 4, 3, 2, 1])])
def test_an_interrupted_map_waits_once_and_is_interrupted_again_at_once(
    results, tmp_path, capsys, times, cancelled
):
    ray = StandIn()
    found = results(ray, list(range(50)))
    next(found)
    ray.endless, ray.interruptions = [2, 4], times
    with pytest.raises(KeyboardInterrupt):
        next(found)
    assert capsys.readouterr().err == "encore: interrupted: waiting for what is in work\n"
    assert not (tmp_path / TOKEN).exists() and ray.cancelled == [(unit, True) for unit in cancelled]


def test_units_end_where_the_storage_is_gone(results, tmp_path):
    ray = StandIn()
    found = results(ray, list(range(50)))
    next(found)
    (tmp_path / TOKEN).unlink()
    ray.endless = [3]
    found.close()
    assert ray.cancelled == [(3, True)]


def test_a_map_that_came_to_its_end_leaves_the_token(results, tmp_path):
    assert list(results(StandIn(), [5])) == [25] and (tmp_path / TOKEN).exists()


@pytest.mark.parametrize(
    "cpus, gpu, resources, expected",
    [
        (1, False, {"CPU": 7.0}, 7),
        (4, False, {"CPU": 7.0}, 1),
        (1, True, {"CPU": 7.0, "GPU": 2.0}, 2),
        (1, True, {}, 0),
    ],
)
def test_how_many_units_a_node_does(cpus, gpu, resources, expected):
    nodes = [{"Alive": True, "Resources": resources}, {"Alive": False, "Resources": {"CPU": 9, "GPU": 9}}]
    assert Needs(cpus, gpu).units_at_once(nodes) == expected


def test_what_changes_results_is_handed_on(monkeypatch):
    for name in list(os.environ):
        if name.startswith("OMP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ENCORE_ACCEPT_HARDWARE", "1")
    monkeypatch.setenv("ENCORE_CLUSTER", "here:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    found = _variables()
    assert found["ENCORE_ACCEPT_HARDWARE"] == "1" and int(found["OMP_NUM_THREADS"]) >= 1
    assert "ENCORE_CLUSTER" not in found and "CUDA_VISIBLE_DEVICES" not in found
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(cluster_map.__file__))))
    assert source in found["PYTHONPATH"].split(os.pathsep)


def test_a_job_leaves_no_folder_and_removes_those_of_killed_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = socket.gethostname()
    dead, other, longer = ("{}.{}.ab".format(name, 2**22 + 1) for name in (host, "other", host + ".more"))
    for name in (dead, other, longer):
        os.makedirs(os.path.join(cluster_map.JOBS, name))
        open(os.path.join(cluster_map.JOBS, name, cluster_map.LOCK), "w").close()
    with _job_folder() as alive:
        with _job_folder():
            assert os.path.isdir(alive) and not os.path.exists(os.path.join(cluster_map.JOBS, dead))
    assert sorted(os.listdir(cluster_map.JOBS)) == sorted([other, longer])


HELD = """
import sys
from encore.runtime.cluster_map import _job_folder
with _job_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_process_that_cannot_be_seen_from_here_stays_until_it_ends(tmp_path, monkeypatch):
    """As with containers of one host name, where /proc shows the processes of the own one alone."""
    monkeypatch.chdir(tmp_path)
    paths = [os.path.abspath(path) for path in import_folders()]
    process = subprocess.Popen(
        [sys.executable, "-c", HELD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)),
    )
    try:
        held = process.stdout.readline().strip()
        unseen = held.replace(".{}.".format(process.pid), ".{}.".format(2**22 + 1))
        assert os.path.isdir(held) and unseen != held
        os.rename(held, unseen)
        with _job_folder():
            assert os.path.isdir(unseen)
    finally:
        process.kill()
        process.communicate()
    with _job_folder():
        assert not os.path.exists(unseen)


def test_what_a_dead_process_of_the_job_left_is_removed(tmp_path):
    job, folder = tmp_path / "job", tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    job.mkdir()
    for name in ("token", "process-71-ab", "process-72-cd"):
        (job / name).touch()
    for name in ("a.tar.tmp-71", "a.tar", "b.tmp-171", "deep/c.tmp-72", "deep/c.tmp-9"):
        (folder / name).touch()
    for name in (
        "d.npy.tmp-writing",
        "d.npy.tmp-0123456789ab",
        "deep/e.tmp-writing",
        "deep/e.tmp-0123456789",
    ):
        (folder / name).touch()
    with replacing(str(folder / "f")) as first, replacing(str(folder / "f")) as second:
        held = [
            os.path.basename(str(os.readlink("/proc/self/fd/%d" % file.fileno()))) for file in (first, second)
        ]
        _remove_temporaries([folder], str(job))
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        assert left == sorted(["a.tar", "b.tmp-171", "deep/c.tmp-9", "deep/e.tmp-0123456789"] + held)
    assert "f.tmp-writing" in held and (folder / "f").is_file()


def test_without_a_process_that_did_units_nothing_is_removed(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "d.tmp-writing").touch()
    _remove_temporaries([tmp_path], str(tmp_path / "job"))
    assert (tmp_path / "d.tmp-writing").exists()
