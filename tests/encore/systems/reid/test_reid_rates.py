"""Learning rates of both states against those that the published loop set."""

import json

import pytest

from encore.systems.reid.params_json import BatchSampling, LearningRates, ReidParams, TripletParams
from encore.systems.reid.rates import rate_factor
from tests.golden_files import golden

BALANCED = BatchSampling(class_balanced=True)


def later(decay_step, warmup_epoch, gamma=0.1, balanced=False):
    rates = LearningRates(0.01, 0.1, gamma, decay_step, warmup_epoch)
    return ReidParams(state="H", lr=rates, batch_sampling_params=BatchSampling(class_balanced=balanced))


def first(decay_step, gamma=0.1, **values):
    return ReidParams(lr=LearningRates(0.01, 0.1, gamma, (decay_step,)), **values)


CASES = [
    ("S", "random_default", first(10), 3),
    ("S", "random_step7_gamma.5_20ep", first(7, 0.5), 2),
    ("S", "fine_tune", first(10, fine_tune=True), 2),
    ("S", "pk_decay2001", first(2001, batch_sampling_params=BALANCED), 23),
    ("S", "triplet_softmargin_decay2500", first(2500, tri_loss_params=TripletParams("soft_margin")), 23),
    ("H", "default_lists", later((40, 80), 20), 2),
    ("H", "no_warmup", later((40, 80), 0), 2),
    ("H", "decay_at_0", later((0, 3, 10), 5, 0.5), 2),
    ("H", "x5_as_class_balanced", later((40, 80), 20, balanced=True), 1),
]


def published(state):
    with open(str(golden("reid/parts_{}.json".format(state))), encoding="utf-8") as file:
        return json.load(file)["lr"]


@pytest.mark.parametrize("state, name, params, steps", CASES, ids=[case[1] for case in CASES])
def test_the_published_rates(state, name, params, steps):
    expected = published(state)[name]
    changes = {change["iteration"]: change for change in expected["changes"]}
    current, found_changes, before = None, [], None
    for iteration in range(expected["iterations"]):
        current = changes.get(iteration, current)
        factor = rate_factor(params, iteration // steps, iteration, steps)
        assert 0.1 * factor == pytest.approx(current["lr_heads"], rel=1e-12, abs=0)
        if current["lr_backbone"] is not None:
            assert 0.01 * factor == pytest.approx(current["lr_backbone"], rel=1e-12, abs=0)
        if factor != before:
            found_changes.append(iteration)
        before = factor
    assert found_changes == sorted(changes)


def test_every_published_schedule_is_compared():
    names = {("S", name) for name in published("S")} | {("H", name) for name in published("H")}
    assert names - {("S", "pk_decay2000")} == {case[:2] for case in CASES}  # that one: refused when read


@pytest.mark.parametrize(
    "epoch, rate", [(0, 0.005), (1, 0.01), (9, 0.05), (19, 0.1), (59, 0.1), (60, 0.01), (100, 0.001)]
)
def test_a_worked_example_of_the_later_state(epoch, rate):
    assert 0.1 * rate_factor(later((40, 80), 20), epoch, epoch * 7, 7) == pytest.approx(rate, rel=1e-12)


def test_an_epoch_listed_twice_counts_once():
    twice, once = later((4, 4, 6), 0), later((6, 4), 0)
    assert [rate_factor(twice, e, e, 1) for e in range(9)] == [rate_factor(once, e, e, 1) for e in range(9)]


@pytest.mark.parametrize("epoch, step", [(0, 7), (1, 6), (1, 14), (0, -1)])
def test_a_step_outside_its_epoch_is_an_error(epoch, step):
    with pytest.raises(ValueError, match="is not in epoch"):
        rate_factor(first(10), epoch, step, 7)
