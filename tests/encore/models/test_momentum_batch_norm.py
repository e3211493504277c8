"""Momentum BatchNorm: the published layer's outputs, and its formula by hand."""

import math

import numpy as np
import pytest
import torch

from encore.models.momentum_batch_norm import MomentumBatchNorm
from tests.encore.isc_formula import weight
from tests.golden_files import golden

TENSORS = ("weight", "bias", "running_mean", "running_var")


@pytest.mark.parametrize("case, prefix", [("mbn2d", "mbn2"), ("mbn1d", "mbn1")])
@pytest.mark.parametrize("kind, tolerance", [("float64", 1e-10), ("float32", 1e-5)])
def test_ten_forwards_of_the_published_layer(case, prefix, kind, tolerance):
    stored = np.load(str(golden("isc/m2t_layers.npz")))
    part = {name: stored["%s/%s/%s" % (case, kind, name)] for name in ("in", "out") + TENSORS}
    alphas = stored["%s/%s/alpha_before" % (case, kind)]
    channels = part["in"].shape[2]
    layer = MomentumBatchNorm(channels, 8).to(getattr(torch, kind))
    state = {name: torch.from_numpy(weight(prefix + "." + name, (channels,))) for name in TENSORS}
    layer.load_state_dict(state, strict=False)
    for number, x in enumerate(part["in"]):
        if number == 8:
            layer.eval()
        assert layer.alpha == pytest.approx(alphas[number], abs=1e-12)
        with torch.no_grad():
            found = layer(torch.from_numpy(x).to(getattr(torch, kind))).numpy()
        for name, value in [("out", found)] + [(n, getattr(layer, n).numpy()) for n in TENSORS[2:]]:
            expected = part[name][number]
            assert np.abs(value - expected).max() <= tolerance * np.abs(expected).max(), (number, name)
    assert layer.num_batches_tracked == 0 and layer.iterations == 5


def test_one_channel_by_hand():
    # batches (1, 3) and (2, 6): means 2 and 4; unbiased variances 2 and 8, corrected again by 2 / 1: 4 and 16
    layer = MomentumBatchNorm(1, 2, eps=0.0)
    first = layer(torch.tensor([[1.0], [3.0]]))
    assert first.tolist() == [[-0.5], [0.5]]  # alpha 1: (x - 2) / sqrt(4)
    assert layer.running_mean.item() == 0 and layer.iterations == 0
    layer(torch.tensor([[2.0], [6.0]]))
    assert layer.running_mean.item() == 3 and layer.running_var.item() == 10
    assert layer.iterations == 1 and layer.alpha == pytest.approx(0.5)  # (cos(pi / 2) + 1) / 2
    layer.eval()  # no branch of its own: mean 0.5 * 2 + 0.5 * 3, variance 0.5 * 4 + 0.5 * 10
    out = layer(torch.tensor([[1.0], [3.0]]))
    assert out.flatten().tolist() == pytest.approx([-1.5 / math.sqrt(7), 0.5 / math.sqrt(7)])
    layer(torch.tensor([[1.0], [3.0]]))
    assert layer.running_mean.item() == 2.5 and layer.alpha == pytest.approx(0.0, abs=1e-15)
    frozen = layer(
        torch.tensor([[1.0], [3.0]])
    )  # alpha 0: the running statistics alone, mean 2.5, variance 7
    assert frozen.flatten().tolist() == pytest.approx([-1.5 / math.sqrt(7), 0.5 / math.sqrt(7)])
