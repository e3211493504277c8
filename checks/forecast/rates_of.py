"""A speed that was measured: of a device that goes on evenly, or of steps of a network on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from checks.forecast.curves import Curve


@dataclass(frozen=True)
class Rate:
    """A speed and where it was measured; None: nobody measured it."""

    value: float | None
    source: str
    on_gpu: bool = False


@dataclass(frozen=True)
class StepRate:
    """How long a step takes on the CPU by the multiply-adds of its forward pass: `curve`, measured with so
    many `passes` (3: forward and backward)."""

    curve: Curve
    source: str
    passes: int
    on_gpu: bool = False
