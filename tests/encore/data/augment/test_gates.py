"""When a step fires, on the boundary too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encore.data.augment.gates import Always, RandomApply, RandomBelow, as_float32


class Fixed:
    """Draws whose every value is the same, counted."""

    def __init__(self, value):
        self.value = value
        self.count = 0

    def rand(self):
        self.count += 1
        return self.value


def mark(image, draws):
    return image + "!"


# float32(0.3) = 5033165 / 2^24 = 0.300000011920928955..., which a draw can meet exactly.
MET = 5033165 / 2.0**24


def test_a_draw_that_meets_the_probability_is_decided_in_float32():
    assert as_float32(0.3) == MET > 0.3
    # torch: `0.3 < tensor(MET)` is False, so RandomApply fires; a double comparison would skip.
    assert not bool(0.3 < torch.tensor([MET]))
    assert RandomApply(0.3, mark)("x", Fixed(MET)) == ("x!", True)
    # `tensor(MET) < 0.3` is False, so RandomGrayscale does not fire.
    assert not bool(torch.tensor([MET]) < 0.3)
    assert RandomBelow(0.3, mark)("x", Fixed(MET)) == ("x", False)


@pytest.mark.parametrize("steps", [-1, 1])
def test_one_step_beside_the_boundary(steps):
    draw = MET + steps / 2.0**24
    assert RandomApply(0.3, mark)("x", Fixed(draw))[1] == (steps < 0)
    assert RandomBelow(0.3, mark)("x", Fixed(draw))[1] == (steps < 0)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.3, 0.4, 0.5, 0.8, 1.0])
def test_the_same_decisions_as_torch(probability):
    edge = int(np.float32(probability) * 2**24)
    for multiple in range(max(0, edge - 3), min(2**24, edge + 4)):
        draw = torch.tensor([multiple / 2.0**24])
        assert RandomApply(probability, mark)("x", Fixed(draw.item()))[1] == (not bool(probability < draw))
        assert RandomBelow(probability, mark)("x", Fixed(draw.item()))[1] == bool(draw < probability)


def test_gates_draw_once_and_ungated_steps_not_at_all():
    draws = Fixed(0.99)
    for gate in (RandomApply(1.0, mark), RandomApply(0.0, mark), RandomBelow(1.0, mark)):
        gate("x", draws)
    assert draws.count == 3
    assert Always(mark)("x", draws) == ("x!", True)
    assert draws.count == 3
