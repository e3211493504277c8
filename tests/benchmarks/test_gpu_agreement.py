"""Training steps on a device against the CPU: what agrees and what must not pass."""

import dataclasses
import math

import pytest
import torch
import torch.nn as nn

from benchmarks.gpu_check import agreement, isc_tracks
from benchmarks.gpu_check.agreement import CPU, Steps, compare, errors
from benchmarks.gpu_check.check import Check
from encore.runtime.refusal import Refusal

SHORT = dataclasses.replace(isc_tracks.RECIPE, iterations=2)


def tf32(tensor):
    """float32 rounded to TF32's 10 bits of mantissa, with the gradient of the identity."""
    bits = tensor.detach().contiguous().view(torch.int32)
    return tensor + (((bits + 0x1000) & ~0x1FFF).view(torch.float32) - tensor).detach()


def with_tf32(steps, monkeypatch):
    def rounded(function):
        def call(images, weight, *arguments):
            short = images.dtype == torch.float32
            return function(*((tf32(images), tf32(weight)) if short else (images, weight)), *arguments)

        return call

    with monkeypatch.context() as patched:
        for name in ("conv2d", "linear"):
            patched.setattr(nn.functional, name, rounded(getattr(nn.functional, name)))
        return steps()


def on_device(perturbed):
    """Track 2's steps of which those on the "device" (after the two on the CPU) are `perturbed`."""
    calls = []

    def training_steps(device, dtype):
        calls.append(dtype)
        return (perturbed if len(calls) > 2 else isc_tracks.training_steps)(device, dtype, SHORT)

    return training_steps


def failed(found):
    return {check.name.split("isc_track2, ")[1] for check in found.checks if not check.passed}


def test_the_same_steps_agree():
    found = compare("isc_track2", on_device(isc_tracks.training_steps), CPU)
    assert len(found.checks) == 6 and failed(found) == set()


def test_rounding_to_tf32_fails_in_float32(monkeypatch):
    def perturbed(*arguments):
        return with_tf32(lambda: isc_tracks.training_steps(*arguments), monkeypatch)

    found = failed(compare("isc_track2", on_device(perturbed), CPU))
    assert found >= {"float32: losses", "float32: gradients"} and "float64" not in " ".join(found)


def test_another_learning_rate_fails():
    def perturbed(device, dtype, recipe):
        rate = recipe.learning_rate * (1 + 1e-6)
        return isc_tracks.training_steps(device, dtype, dataclasses.replace(recipe, learning_rate=rate))

    assert "float64: weights" in failed(compare("isc_track2", on_device(perturbed), CPU))


def test_a_loss_that_is_not_finite_fails_and_says_so():
    def perturbed(device, dtype, recipe):
        raise Refusal("the loss of epoch 5, step 0 is nan")

    found = compare("isc_track2", on_device(perturbed), CPU)
    assert len(failed(found)) == 6 and found.checks[0].note == "the loss of epoch 5, step 0 is nan"
    assert found.checks[0].entry()["found"] == "nan"


def test_errors_by_hand_and_of_nan():
    def steps(losses, weights):
        weights = {"w": torch.tensor(weights).double()}
        return Steps(torch.tensor(losses).double(), weights, {"w": torch.zeros(2).double()}, weights)

    truth = steps([2.0, 4.0], [3.0, 4.0])
    found = errors(steps([2.0, 5.0], [3.0, 5.0]), truth)
    assert found == pytest.approx((0.25, 0.2, 0.2))
    assert all(math.isnan(error) for error in errors(steps([2.0, math.nan], [3.0, math.nan]), truth))
    with pytest.raises(ValueError, match="same tensors.*'v'"):
        agreement.distance({"v": truth.losses}, {"w": truth.losses})


def test_a_number_that_is_none_never_passes():
    assert Check("", 1.0, 1.0, "").passed
    assert not Check("", math.nan, math.inf, "").passed and not Check("", 1.1, 1.0, "").passed
