"""Four virtual replicas on one device: against the CPU, against plain backpropagation, on two processes."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.gpu_check.agreement import CPU, in_double, relative_distance
from benchmarks.gpu_check.arithmetic import EXACT, arithmetic, examined
from benchmarks.gpu_check.check import Check, Found, NotRun, broken
from encore.models.isc_network import CLASSIFIER_BLOCKS, IscShape, Outputs
from encore.runtime.safe_load import safe_load
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.start_weights import build_network
from encore.training.class_parallel import ClassParallelStep
from encore.training.distributed import ALONE
from encore.training.optimizer_state import gather_named, trainable
from encore.training.replicas import run_replicas

RECIPE = TrainingRecipe(seed=2, shape=IscShape((1, 1, 1, 1), 16, 64, 128, 32), height=64, width=64, batch=32)
CLASSES = 16
BOUND = 1e-10
REASON = "float64 rounds at 1e-16, so only the order of sums may show"
PROCESSES = 2
TWO_PROCESSES = "replicas: {} processes against one: gradients".format(PROCESSES)
PATIENCE = 120
"""Seconds that the processes have."""
ROOT = Path(__file__).resolve().parents[2]


class Gradients(NamedTuple):
    """One step's result: {name: float64 tensor on the CPU} of each."""

    gradients: dict
    statistics: dict
    """Running statistics of BatchNorm."""


def batch_of(processes):
    """Images of this process's replicas, labels of the whole batch, WaveBlock's draws of its replicas."""
    draw = torch.Generator().manual_seed(RECIPE.seed)
    images = torch.randn(RECIPE.batch, 3, RECIPE.height, RECIPE.width, generator=draw, dtype=torch.float64)
    own = processes.share(RECIPE.replicas)
    chunks = torch.chunk(images, RECIPE.replicas)
    labels = torch.arange(RECIPE.batch) // RECIPE.instances
    return torch.cat([chunks[i] for i in own]), labels, [random.Random(i) for i in own]


def small_network(device, processes):
    """The network of the step in float64, with this process's classifier blocks."""
    return build_network(RECIPE, CLASSES, processes.share(CLASSIFIER_BLOCKS)).double().train().to(device)


def class_parallel(device, processes=ALONE):
    """The gradients that training uses (collective; whole on the first process)."""
    network = small_network(device, processes)
    images, labels, rngs = batch_of(processes)
    step = ClassParallelStep(network, RECIPE.loss, RECIPE.replicas, processes)
    step.gradients(images.to(device), labels.to(device), rngs)
    own = {name: parameter.grad for name, parameter in trainable(network).items()}
    return Gradients(in_double(gather_named(own, processes)), statistics_of(network))


def plain(device):
    """The same by one graph: each replica through the whole network, outputs joined, one backward."""
    network = small_network(device, ALONE)
    images, labels, rngs = batch_of(ALONE)
    chunks = torch.chunk(images.to(device), RECIPE.replicas)
    outputs = run_replicas(network, chunks, range(RECIPE.replicas), rngs)
    total, _ = RECIPE.loss(Outputs(*(torch.cat(parts) for parts in zip(*outputs))), labels.to(device))
    parameters = trainable(network)
    gradients = torch.autograd.grad(total, list(parameters.values()))
    return Gradients(in_double(dict(zip(parameters, gradients))), statistics_of(network))


def statistics_of(network):
    return in_double({name: value for name, value in network.named_buffers() if ".running_" in name})


def compare_replicas(device):
    """Found of the replicas on `device`, and on two of its kind where there are two."""
    with arithmetic(EXACT, CPU):
        truth = class_parallel(CPU)
    with examined(device):
        found, graph = class_parallel(device), plain(device)
    pairs = (
        ("device against CPU: gradients", found.gradients, truth.gradients),
        ("device against CPU: running statistics", found.statistics, truth.statistics),
        ("class-parallel step against plain backpropagation", found.gradients, graph.gradients),
    )
    checks = tuple(
        Check("replicas: " + name, relative_distance(one, other), BOUND, REASON) for name, one, other in pairs
    )
    here = torch.cuda.device_count() if device.type == "cuda" else PROCESSES
    if here < PROCESSES:
        return Found(checks, (NotRun(TWO_PROCESSES, "needs {} GPUs, found {}".format(PROCESSES, here)),))
    return Found(checks + (compare_processes(device.type, found),))


def compare_processes(kind, alone):
    """Check of the step on two processes, one GPU each (nccl), or on the CPU (gloo), against `alone`."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gradients.pth")
        failure = run_processes([sys.executable, "-m", "benchmarks.gpu_check.process", kind, path], folder)
        if failure:
            return broken(TWO_PROCESSES, BOUND, REASON, failure)
        gradients = safe_load(path)
    same = all(torch.equal(gradients[name], alone.gradients[name]) for name in alone.gradients)
    found = relative_distance(gradients, alone.gradients)
    return Check(TWO_PROCESSES, found, BOUND, REASON, "same bits" if same else "other bits")


def run_processes(command, folder, patience=PATIENCE):
    """Start `command` once a rank, as torchrun does; the reason why it failed, or None."""
    shared = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(free_port()),
        WORLD_SIZE=str(PROCESSES),
    )
    logs = [os.path.join(folder, "rank{}.log".format(rank)) for rank in range(PROCESSES)]
    started = []
    try:
        for rank, log in enumerate(logs):
            own = dict(shared, RANK=str(rank), LOCAL_RANK=str(rank))
            with open(log, "wb") as file:
                started.append(subprocess.Popen(command, env=own, stderr=file, cwd=str(ROOT)))
        failed = first_failure(started, time.monotonic() + patience)
    finally:
        for process in started:
            process.kill()
            process.wait()
    if failed is None:
        return "no result within {} s".format(patience)
    return "process {}: {}".format(failed[0], last_line(logs[failed[0]])) if failed else None


def first_failure(processes, deadline):
    """[rank] of the first process that failed, [] when all ended well, None when the deadline passed."""
    while time.monotonic() < deadline:
        statuses = [process.poll() for process in processes]
        failed = [rank for rank, status in enumerate(statuses) if status]
        if failed or statuses == [0] * len(processes):
            return failed
        time.sleep(0.05)
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def last_line(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return (file.read().strip().splitlines() or ["no message"])[-1]
