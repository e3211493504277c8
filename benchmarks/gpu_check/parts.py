"""The parts of the check, each with the libraries that it needs beside torch and its own imports inside."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Callable, NamedTuple, Tuple

from benchmarks.gpu_check.agreement import compare
from benchmarks.gpu_check.systems import SYSTEMS


class Part(NamedTuple):
    """One part of the check."""

    name: str
    libraries: Tuple[str, ...]
    run: Callable
    """(device, quick) -> Found"""


def missing(libraries):
    """Those of `libraries` that cannot be imported here, joined by commas; empty where all are there."""
    return ", ".join(name for name in libraries if importlib.util.find_spec(name) is None)


def _canary(device, _):
    from benchmarks.gpu_check.canary import check_canary

    return check_canary(device)


def _agreement(system, device, _):
    return compare(system.name, system.training_steps, device)


def _replicas(device, _):
    from benchmarks.gpu_check.replicas import compare_replicas

    return compare_replicas(device)


def _throughput(device, quick):
    from benchmarks.gpu_check.throughput import PUBLISHED, TINY, measure

    return measure(device, TINY if quick else PUBLISHED)


PARTS = (
    Part("canary", ("numpy", "PIL"), _canary),
    *(
        Part("training steps of {}".format(system.name), system.libraries, partial(_agreement, system))
        for system in SYSTEMS
    ),
    Part("replicas", (), _replicas),
    Part("throughput", ("numpy", "PIL"), _throughput),
)
