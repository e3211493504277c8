"""When runs end, save and evaluate, against the published triggers."""

import json

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.params_json import (
    BatchSampling,
    EvaluationParams,
    LearningRates,
    OwnKeys,
    ReidParams,
    TripletParams,
)
from encore.systems.reid.stop_rule import StopRule
from tests.golden_files import golden

SLOW = LearningRates(decay_step=(2001,))
BALANCED = BatchSampling(class_balanced=True)


def later(epochs=300, every=20, step=None, balanced=False, warm_up=0, **own):
    return ReidParams(
        state="H",
        epochs=epochs,
        lr=LearningRates(decay_step=(40, 80), warmup_epoch=warm_up),
        batch_sampling_params=BatchSampling(class_balanced=balanced),
        evaluation_params=EvaluationParams(step=step, epoch=every),
        encore=OwnKeys(**own),
    )


def after(params, per_epoch, what, until=None):
    """1-based iterations after which the rule saves or evaluates."""
    rule = StopRule(params, per_epoch)
    found = []
    for iteration in range(min(rule.iterations, until or rule.iterations)):
        if getattr(rule, what)(iteration // per_epoch, iteration % per_epoch, iteration):
            found.append(iteration + 1)
    return found


CASES = [
    ("S", "random_default", ReidParams(), 3),
    ("S", "random_step7_gamma.5_20ep", ReidParams(epochs=20), 2),
    ("S", "fine_tune", ReidParams(fine_tune=True), 2),
    ("S", "pk_decay2001", ReidParams(lr=SLOW, batch_sampling_params=BALANCED, epochs=6100), 1),
    (
        "S",
        "triplet_softmargin_decay2500",
        ReidParams(lr=SLOW, tri_loss_params=TripletParams("soft_margin"), epochs=6100),
        1,
    ),
    ("H", "default_lists", later(warm_up=20), 2),
    ("H", "no_warmup", later(), 2),
    ("H", "decay_at_0", later(warm_up=5), 2),
    ("H", "x5_as_class_balanced", later(balanced=True), 1),
]


@pytest.mark.parametrize("state, name, params, per_epoch", CASES, ids=[case[1] for case in CASES])
def test_the_published_evaluations(state, name, params, per_epoch):
    with open(str(golden("reid/parts_{}.json".format(state))), encoding="utf-8") as file:
        expected = json.load(file)["lr"][name]
    listed = expected["save_and_evaluate_after_iterations"]
    until = expected["iterations"]
    if expected["loop_ended"]:
        assert StopRule(params, per_epoch).iterations == until
    found = after(params, per_epoch, "evaluates_after", until)
    assert found[: len(listed)] == listed
    # twelve are listed at most; a loop stopped by hand did not get to the one after its last iteration
    counted = [iteration for iteration in found if iteration < until or expected["loop_ended"]]
    assert len(counted) == expected["n_save_and_evaluate"]
    assert set(found) <= set(after(params, per_epoch, "saves_after", until))


def test_random_batches_of_the_first_state():
    params = ReidParams(epochs=2, evaluation_params=EvaluationParams(step=700))
    rule = StopRule(params, 2100)
    assert (rule.epochs, rule.iterations) == (2, 4200)
    assert after(params, 2100, "saves_after") == [1001, 2001, 2100, 3101, 4101, 4200]
    assert after(params, 2100, "evaluates_after") == [701, 1401, 2100, 2801, 3501, 4200]


@pytest.mark.parametrize("triplet, shift", [(TripletParams(), 1), (TripletParams(0.3), 0)])
def test_balanced_batches_of_the_first_state(triplet, shift):
    values = {"lr": SLOW, "batch_sampling_params": BALANCED, "tri_loss_params": triplet}
    evaluation = EvaluationParams(step=1500)
    own = OwnKeys(max_iterations=3333)
    params = ReidParams(evaluation_params=evaluation, encore=own, **values)
    rule = StopRule(params, 23)
    assert (rule.epochs, rule.iterations) == (145, 3333)
    assert after(params, 23, "saves_after") == [1000 + shift, 2000 + shift, 3000 + shift, 3333]
    assert after(params, 23, "evaluates_after") == [1500 + shift, 3000 + shift, 3333]
    passes = StopRule(ReidParams(epochs=4, **values), 23)
    assert (passes.epochs, passes.iterations) == (4, 92)
    assert after(ReidParams(epochs=4, **values), 23, "saves_after") == [92]


def test_the_later_state_ends_after_warm_up_and_epochs():
    params = later(epochs=6, every=3, warm_up=4)
    rule = StopRule(params, 5)
    assert (rule.epochs, rule.iterations) == (10, 50)
    assert after(params, 5, "evaluates_after") == after(params, 5, "saves_after") == [20, 35, 50]
    balanced = StopRule(later(epochs=6, every=3, warm_up=4, balanced=True), 5)
    assert (balanced.epochs, balanced.iterations) == (50, 250)
    assert after(later(epochs=6, every=3, balanced=True), 5, "evaluates_after") == [80, 150]
    assert after(later(epochs=6, every=None), 5, "saves_after") == [30]
    assert after(later(epochs=2, step=2, save_every=3), 5, "saves_after") == [4, 9, 10]
    assert after(later(epochs=2, step=2, save_every=3), 5, "evaluates_after") == [3, 5, 8, 10]


BOUND = OwnKeys(max_iterations=13)


@pytest.mark.parametrize("params", [ReidParams(epochs=5, encore=BOUND), later(epochs=5, max_iterations=13)])
def test_no_run_is_longer_than_its_bound(params):
    rule = StopRule(params, 4)
    assert (rule.epochs, rule.iterations) == (4, 13)
    assert rule.saves_after(3, 0, 12) and rule.evaluates_after(3, 0, 12)
    assert StopRule(ReidParams(epochs=3, encore=OwnKeys(max_iterations=99)), 4).iterations == 12


def test_nothing_is_evaluated_without_an_evaluator():
    params = ReidParams(epochs=3, evaluation_params=EvaluationParams(None, 2))
    assert after(params, 4, "evaluates_after") == []
    assert after(params, 4, "saves_after") == [4, 8, 12]


def test_an_epoch_without_a_batch_is_refused():
    with pytest.raises(
        Refusal, match=r"batch_sampling_params: expected at least one batch an epoch.* P \(32\)"
    ):
        StopRule(ReidParams(lr=SLOW, batch_sampling_params=BALANCED), 0)


@pytest.mark.parametrize("address", [(0, 0, 1), (1, 0, 3), (0, 4, 4), (0, -1, -1)])
def test_an_iteration_at_another_place_is_an_error(address):
    for what in ("saves_after", "evaluates_after"):
        with pytest.raises(ValueError, match="is not step"):
            getattr(StopRule(ReidParams(), 4), what)(*address)
