"""Virtual replicas and processes on one device: what agrees and what must not pass."""

import sys

import pytest
import torch

from benchmarks.gpu_check import (
    replicas,
)
from benchmarks.gpu_check.agreement import CPU
from benchmarks.gpu_check.check import Check
from encore.training import class_parallel

GPU = torch.device("cuda", 0)


def names_of_failed(found):
    return [check.name for check in found.checks if not check.passed]


@pytest.fixture
def no_processes(monkeypatch):
    passing = Check(replicas.TWO_PROCESSES, 0.0, replicas.BOUND, "")
    monkeypatch.setattr(replicas, "compare_processes", lambda kind, alone: passing)


def test_replicas_agree(no_processes):
    found = replicas.compare_replicas(CPU)
    assert len(found.checks) == 4 and names_of_failed(found) == []


def test_gradients_of_the_wrong_rows_fail(monkeypatch, no_processes):
    right = class_parallel.rows_of
    monkeypatch.setattr(class_parallel, "rows_of", lambda tensor, parts, i: right(tensor, parts, i ^ 1))
    assert names_of_failed(replicas.compare_replicas(CPU)) == [
        "replicas: class-parallel step against plain backpropagation"
    ]


def test_running_statistics_of_all_replicas_fail(monkeypatch, no_processes):
    right, calls = class_parallel.run_replicas, []

    def every_first(module, inputs, own, rngs=None):
        calls.append(module)
        device_turn = len(calls) > 3  # three parts of the network on the CPU come first
        return right(module, inputs, [0] * len(own) if device_turn else own, rngs)

    monkeypatch.setattr(class_parallel, "run_replicas", every_first)
    assert names_of_failed(replicas.compare_replicas(CPU)) == [
        "replicas: device against CPU: running statistics"
    ]


def test_one_gpu_leaves_two_processes_not_run(monkeypatch):
    one = replicas.Gradients({"w": torch.ones(1)}, {"m": torch.ones(1)})
    for name in ("class_parallel", "plain"):
        monkeypatch.setattr(replicas, name, lambda device: one)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    ((what, why),) = replicas.compare_replicas(GPU).not_run
    assert "2 processes" in what and why == "needs 2 GPUs, found 1"


@pytest.mark.parametrize(
    "code, patience, failure",
    [
        ("pass", 60, None),
        ("import os, sys; os.environ['RANK'] == '1' and sys.exit('no port')", 60, "process 1: no port"),
        ("import time; time.sleep(60)", 1, "no result within 1 s"),
    ],
)
def test_processes_that_fail_or_hang_are_reported(code, patience, failure, tmp_path):
    assert replicas.run_processes([sys.executable, "-c", code], str(tmp_path), patience) == failure


def test_failed_processes_fail_the_check(monkeypatch):
    monkeypatch.setattr(replicas, "run_processes", lambda command, folder: "process 0: broken")
    found = replicas.compare_processes("cpu", None)
    assert not found.passed and found.note == "process 0: broken"
