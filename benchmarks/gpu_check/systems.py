"""The systems whose training steps are compared. A further one is one entry and one function."""

from __future__ import annotations

from typing import Callable, NamedTuple, Tuple


class System(NamedTuple):
    """A system that can be trained."""

    name: str
    libraries: Tuple[str, ...]
    """What its training step imports beside torch."""
    training_steps: Callable
    """(device, dtype) -> Steps of its real training step on a small network; imports the system inside."""


def _isc_track2(device, dtype):
    from benchmarks.gpu_check.isc_tracks import training_steps

    return training_steps(device, dtype)


def _isc_track1(device, dtype):
    from benchmarks.gpu_check.isc_tracks import TRACK1_RECIPE, training_steps

    return training_steps(device, dtype, TRACK1_RECIPE)


SYSTEMS = (
    System("isc_track2", ("numpy", "PIL"), _isc_track2),
    System("isc_track1", ("numpy", "PIL"), _isc_track1),
)
