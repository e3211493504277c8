"""Learning rate and teacher momentum against the published code's."""

import json
import math

import pytest

from encore.systems.momentum2_teacher.data_order import iterations_per_epoch
from encore.systems.momentum2_teacher.recipe import Momentum2Recipe
from encore.systems.momentum2_teacher.schedules import rate_after, teacher_momentum
from tests.golden_files import golden

PUBLISHED = json.loads(golden("isc/m2t_schedule.json").read_text())


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_published_tables(name):
    table = PUBLISHED[name]
    per_epoch = iterations_per_epoch(1281167, table["batch"], 8)
    assert per_epoch == table["iterations_per_epoch"]
    recipe = Momentum2Recipe(batch=table["batch"])
    assert recipe.epochs * per_epoch == table["total"]
    for iteration, rate in table["lr_after_iteration"].items():
        assert recipe.rate(int(iteration), per_epoch) == pytest.approx(rate, rel=1e-12, abs=1e-12)
    for counter, momentum in table["ema_at_counter"].items():
        assert teacher_momentum(int(counter), table["total"]) == pytest.approx(momentum, abs=1e-12)
    assert recipe.rate(0, per_epoch) == 1e-6


def test_by_hand():
    # 4 epochs of 2 steps, 1 of warm-up, base 0.1: half way up after 1 step, then a cosine over 6 steps
    rates = [rate_after(step, 0.1, 2, 4, 1) for step in range(1, 9)]
    assert rates[:2] == pytest.approx([1e-6 + (0.1 - 1e-6) / 2, 0.1])
    assert rates[4] == pytest.approx(0.05) and rates[7] == pytest.approx(0)
    assert rates[2] == pytest.approx(0.05 * (1 + math.cos(math.pi / 6)))
    assert [teacher_momentum(step, 4) for step in (0, 2, 4)] == pytest.approx([0.99, 0.995, 1.0])
