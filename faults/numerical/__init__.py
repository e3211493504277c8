"""Numerical faults in every trainer: NaN, infinity, exploding gradients, constant batches, float16.

A fault is survived where the run ends at that very step with one line that names the step and the pictures of
its batch, the state that was saved is bit for bit that of an undisturbed run before the step, the run goes on
from it to the bits of the undisturbed one once the cause is mended, and --replay-step shows the fault,
publishes nothing and changes no file but a log.
"""

from __future__ import annotations

from faults.joined import joined_rows


def rows(full):
    """Yield the Rows of all trainers; full: also what starts the stages' real command lines."""
    return joined_rows(__name__, __path__, full)
