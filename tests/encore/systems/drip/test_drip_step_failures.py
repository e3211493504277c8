import math

import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.systems.drip.step_failures import StepFailures


def test_counts_by_step_and_metrics():
    failures = StepFailures(0.01)
    failures.add({"meme_format": 1}, 64)
    failures.add({}, 64)
    failures.add({"meme_format": 1, "blur": 1}, 64)
    assert failures.views == 192
    assert failures.metrics() == {"raised_steps": 3, "raised_blur": 1, "raised_meme_format": 2}
    assert StepFailures().metrics() == {"raised_steps": 0}


def test_a_step_that_always_raises_is_refused_by_name_and_count():
    # In 400 views at 1 % a step may raise 4 + 4 * 2 + 1 = 13 times.
    failures = StepFailures(0.01)
    failures.add({"perspective_transform": 13, "blur": 2}, 400)
    with pytest.raises(
        Refusal, match=r"more than 0.01 of all views.*: perspective_transform 14 times in 400"
    ):
        failures.add({"perspective_transform": 1}, 0)


def test_all_such_steps_are_named():
    with pytest.raises(Refusal, match="blur 40, meme_format 50 times in 100 views"):
        StepFailures(0.01).add({"meme_format": 50, "blur": 40, "crop": 1}, 100)


def test_chance_does_not_decide():
    """Steps that raise in as many views as the threshold says are let pass, in any order of 20 runs."""
    for run in range(20):
        raises, failures = np.random.RandomState(run).uniform(size=5000) < 0.01, StepFailures(0.01)
        for raised in raises:
            failures.add({"meme_format": int(raised)}, 1)


def test_twice_the_share_is_found():
    raises, failures = np.random.RandomState(0).uniform(size=5000) < 0.02, StepFailures(0.01)
    with pytest.raises(Refusal):
        for raised in raises:
            failures.add({"meme_format": int(raised)}, 1)
    # n / 100 raises too many are found where they are more than 4 sqrt(n / 100) + 1: about 1,700 views.
    assert failures.views < 3000 and failures.counts["meme_format"] > failures.views / 100 + 4 * math.sqrt(
        failures.views / 100
    )


def test_counting_goes_on_after_a_restart():
    first, whole = StepFailures(0.01), StepFailures(0.01)
    for failures in (first, whole):
        failures.add({"blur": 2}, 100)
    second = StepFailures(0.01)
    second.load(first.state())
    for failures in (second, whole):
        failures.add({"blur": 1, "crop": 1}, 100)
    assert second.state() == whole.state() == {"views": 200, "counts": {"blur": 3, "crop": 1}}
    assert first.state() == {"views": 100, "counts": {"blur": 2}}


def test_a_threshold_of_one_refuses_nothing_and_others_are_shares():
    StepFailures(1).add({"blur": 1000}, 10)
    for threshold in (-0.1, 1.1):
        with pytest.raises(Refusal, match="share of raised steps must lie in 0..1"):
            StepFailures(threshold)
