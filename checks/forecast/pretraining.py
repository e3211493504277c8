"""What pre-training on pictures of one's own takes: Barlow Twins, and Momentum^2 Teacher."""

from __future__ import annotations

from checks.forecast.operations import multiply_adds
from checks.forecast.rates_of import StepRate
from checks.forecast.rows import network_hours

VIEWS = 2
BARLOW_TWINS_PASSES = 3
MOMENTUM2_PASSES = 4
"""Forward and backward of the student, and the teacher's forward."""


def pretraining_hours(made, shape, pictures, rates):
    """(pictures seen, hours or None) of a section `pretrain` for `pictures` of its set.

    On the CPU only: of a GPU nobody measured it.
    """
    for name, passes in (("barlow_twins", BARLOW_TWINS_PASSES), ("momentum2_teacher", MOMENTUM2_PASSES)):
        recipe = made.get(name)
        if recipe:
            seen = VIEWS * recipe["epochs"] * (pictures // recipe["batch"]) * recipe["batch"]
            forward = multiply_adds({**shape, "hidden": 0, "embedding": 0, "matrix": None}, recipe["size"])
            batch = VIEWS * recipe["batch"]
            if not isinstance(rates.trained, StepRate):
                return seen, None
            hours = network_hours(seen, forward, batch, rates.trained, 1, passes)
            return seen, _with_views(hours, seen // VIEWS, rates.curves.seconds("two_views"))
    return 0, None


def _with_views(hours, pictures, curve):
    """The hours with those in which the views are made, in the same process: pictures of 256 pixels, views of
    64."""
    views = None if curve is None else curve.at(pictures)
    return hours if hours is None or views is None else hours + views.value / 3600
