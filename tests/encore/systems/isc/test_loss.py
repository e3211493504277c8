"""The weighted losses against those of the published trainers, and against their definitions."""

import json

import numpy as np
import pytest
import torch

from encore.models.isc_network import Outputs
from encore.systems.isc.loss import IscLoss
from tests.golden_files import golden

SELF_DISTANCE = 2.0**-9
"""In float32 the distance of a sample to itself is rounding noise: |x|^2 + |x|^2 - 2 x.x differs from 0 by
2^-18 or not at all (2 |x|^2 is between 32 and 64), by the order in which the processor adds up, and the root
of that is 2^-9. Where every identity has one image (`alone`) it is the hardest positive and moves the loss by
that much at most."""

CASES = ("random", "shuffled", "large", "ties", "alone", "one_identity")
PUBLISHED_NAME = {
    "ce": "ce",
    "triplet": "triplet",
    "accuracy": "accuracy",
    "ce_matrix": "ce_256",
    "kd": "kd",
    "accuracy_matrix": "accuracy_256",
}


def inputs(case, track, dtype):
    with np.load(str(golden("isc/losses.npz"))) as stored:
        features, wide, matrix = (
            torch.from_numpy(stored["%s/in_%s" % (case, name)]).to(dtype).requires_grad_()
            for name in ("feat", "z", "z1")
        )
        labels = torch.from_numpy(stored[case + "/in_y"])
    return Outputs(features, wide, matrix if track == "track2" else None), labels


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("track", ["track1", "track2"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_terms_and_total_of_the_published_trainers(case, track, margin, dtype, tolerance):
    kind = "%s/margin%.1f/%s" % (track, margin, str(dtype).split(".")[1])
    expected = json.loads(golden("isc/losses.json").read_text())[case][kind]
    outputs, labels = inputs(case, track, dtype)
    total, terms = IscLoss(margin=margin)(outputs, labels)
    tolerance = max(tolerance, 1e-6) if case == "one_identity" else tolerance
    noise = SELF_DISTANCE if case == "alone" and dtype == torch.float32 else 1e-12
    assert total.item() == pytest.approx(expected["total"], rel=tolerance, abs=noise)
    assert set(terms) == {ours for ours, theirs in PUBLISHED_NAME.items() if theirs in expected}
    for name, term in terms.items():
        assert term.item() == pytest.approx(
            expected[PUBLISHED_NAME[name]], rel=tolerance, abs=noise if name == "triplet" else 1e-12
        ), name


@pytest.mark.parametrize("case", ("random", "shuffled", "large"))
@pytest.mark.parametrize("track", ["track1", "track2"])
def test_gradients_of_the_published_trainers(case, track):
    outputs, labels = inputs(case, track, torch.float64)
    total, _ = IscLoss()(outputs, labels)
    total.backward()
    with np.load(str(golden("isc/losses.npz"))) as stored:
        for output, name in zip(outputs, ("feat", "z", "z1")):
            if output is not None:
                expected = torch.from_numpy(stored["%s/%s/grad_%s" % (case, track, name)])
                assert torch.allclose(output.grad, expected, rtol=1e-9, atol=1e-12), name
