"""Sums in one order, shares of a run, and one step against the plain network."""

import os
import random
import signal
import socket
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encore.models.isc_network import IscNetwork, IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.loss import IscLoss
from encore.training.class_parallel import ClassParallelStep
from encore.training.distributed import (
    TIMEOUT,
    Processes,
    join_processes,
    processes_key,
    timeout_seconds,
    tree_sum,
)
from encore.training.optimizer_state import trainable
from tests.encore import killed_run


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]), st.sampled_from([4, 8]))
def test_sums_nest(seed, processes, count):
    draw = torch.Generator().manual_seed(seed)
    parts = [torch.randn(20, generator=draw) for _ in range(count)]
    size = count // processes
    shares = [tree_sum(parts[i * size : (i + 1) * size]) for i in range(processes)]
    assert torch.equal(tree_sum(shares), tree_sum(parts))


def test_shares_are_contiguous_and_refused_where_they_do_not_divide():
    assert [list(Processes(rank, 2).share(4)) for rank in range(2)] == [[0, 1], [2, 3]]
    assert list(Processes(0, 1).share(6)) == [0, 1, 2, 3, 4, 5]
    for count, total in ((4, 6), (2, 6), (4, 2)):  # a half, an odd share, less than one
        named = r"{} replicas or blocks cannot be shared by {} .* set x\.train\.processes".format(
            total, count
        )
        with pytest.raises(Refusal, match=named):
            Processes(0, count, processes_key("x")).share(total)


def test_a_number_of_processes_that_a_system_cannot_use_is_refused_by_its_parameter():
    Processes(0, 3).refuse_unless((1, 3), "shared by")
    with pytest.raises(Refusal, match=r"spread over 1, 2 or 4 processes, found 3: set x\.train\.processes"):
        Processes(0, 3, processes_key("x")).refuse_unless((1, 2, 4), "spread over")
    with pytest.raises(Refusal, match="process 2 of 2: expected a RANK from 0 below WORLD_SIZE"):
        Processes(2, 2)


@pytest.mark.parametrize("variable", ["RANK", "WORLD_SIZE", "LOCAL_RANK"])
def test_what_a_launcher_sets_is_checked(monkeypatch, variable):
    monkeypatch.setenv(variable, "-1")
    with pytest.raises(Refusal, match=variable + ": expected a number, found '-1'"):
        join_processes("cpu")


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_refused(monkeypatch, text):
    monkeypatch.setenv(TIMEOUT, text)
    with pytest.raises(Refusal, match="ENCORE_PROCESS_TIMEOUT: expected seconds above 0, found '%s'" % text):
        timeout_seconds()


def test_the_timeout_is_torch_s_own_unless_it_is_set(monkeypatch):
    monkeypatch.delenv(TIMEOUT, raising=False)
    assert timeout_seconds() == torch.distributed.constants.default_pg_timeout.total_seconds()
    monkeypatch.setenv(TIMEOUT, "2.5")
    assert timeout_seconds() == 2.5


def joined(rank, variables, what):
    """In a process of its own: join, then `what`; what is refused is printed and ends it with status 2."""
    os.environ.update(variables, RANK=str(rank), LOCAL_RANK=str(rank))
    try:
        processes, _ = join_processes("cpu")
        what(processes)
    except Refusal as refusal:
        with open(os.path.join(variables["FOLDER"], "refusal-%d" % rank), "w") as file:
            file.write(str(refusal))
        os._exit(2)


def started(count, what, folder, ranks=None, **variables):
    """Start processes of one run -> their exit statuses, in order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(count), FOLDER=str(folder)
    )
    runs = [killed_run.start(joined, rank, variables, what) for rank in ranks or range(count)]
    return [killed_run.finish(run) for run in runs]


def exchange_or_die(processes):
    assert processes.sum(torch.ones(2)).tolist() == [3.0, 3.0]
    if processes.rank == 1:
        killed_run.die()
    processes.gather(torch.zeros(1))


def test_a_killed_process_is_a_one_line_refusal_of_the_others(tmp_path):
    statuses = started(3, exchange_or_die, tmp_path)
    assert statuses == [2, -signal.SIGKILL, 2]
    text = (tmp_path / "refusal-0").read_text()
    assert text.startswith("another process of this run has ended or cannot be reached (")
    assert "\n" not in text
    assert "start the same command again" in text


def stop_for_a_while(processes):
    if processes.rank == 1:
        time.sleep(10)
    processes.barrier()


def test_a_process_that_does_not_come_is_given_up_after_the_timeout(tmp_path):
    began = time.monotonic()
    assert started(2, stop_for_a_while, tmp_path, ENCORE_PROCESS_TIMEOUT="4")[0] == 2
    assert "cannot be reached" in (tmp_path / "refusal-0").read_text()
    (tmp_path / "refusal-0").unlink()
    assert started(2, stop_for_a_while, tmp_path, [0], ENCORE_PROCESS_TIMEOUT="1") == [2]
    text = (tmp_path / "refusal-0").read_text()
    assert "have not found each other at 127.0.0.1:" in text and "within 1 seconds" in text
    assert "\n" not in text and time.monotonic() - began < 60


def test_a_process_without_a_gpu_of_its_own_names_the_parameter(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Refusal, match=r"process 1 of this machine .* found 1: lower x\.train\.processes"):
        join_processes("cuda", processes_key("x"))


def test_with_one_replica_a_step_is_plain_backpropagation():
    torch.manual_seed(3)
    network = IscNetwork(IscShape((1, 1, 1, 1), 2, 16, 32, 8), classes=8).double().train()
    images, labels = torch.randn(8, 3, 32, 32).double(), torch.arange(8) // 2
    network.wave_block.rng = random.Random(4)
    total, _ = IscLoss()(network(images), labels)
    expected = torch.autograd.grad(total, list(trainable(network).values()))
    found, _ = ClassParallelStep(network, IscLoss(), 1).gradients(images, labels, [random.Random(4)])
    assert found.item() == pytest.approx(total.item(), rel=1e-12)
    largest = max(gradient.abs().max() for gradient in expected)
    for (name, parameter), gradient in zip(trainable(network).items(), expected):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-8, atol=1e-12 * largest), name
