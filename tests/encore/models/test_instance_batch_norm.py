"""IBN-a against a literal computation, and its place in the backbone."""

import numpy as np
import torch

from encore.models.instance_batch_norm import InstanceBatchNorm
from encore.models.resnet import ResNet


def literal(x, norm, training):
    """Loops over images and channels, in float64."""
    values, out = x.numpy().astype(float), np.empty(x.shape)
    for c in range(5):
        own, at = (norm.IN, c) if c < 2 else (norm.BN, c - 2)
        weight, bias = own.weight[at].item(), own.bias[at].item()
        for n in range(len(values)):
            if c < 2:
                mean, var = values[n, c].mean(), values[n, c].var()
            elif training:
                mean, var = values[:, c].mean(), values[:, c].var()
            else:
                mean, var = norm.BN.running_mean[at].item(), norm.BN.running_var[at].item()
            out[n, c] = (values[n, c] - mean) / np.sqrt(var + 1e-5) * weight + bias
    return out


def test_half_instance_half_batch():
    torch.manual_seed(0)
    norm = InstanceBatchNorm(5)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(3, 5, 4, 6) * 2 + 1
    with torch.no_grad():
        assert np.allclose(norm(x).numpy(), literal(x, norm, True), atol=1e-5)
        norm.eval()
        assert np.allclose(norm(x).numpy(), literal(x, norm, False), atol=1e-5)
    assert [name for name in norm.state_dict()] == ["IN.weight", "IN.bias"] + [
        "BN." + name for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    ]


def test_the_first_norm_of_the_blocks_of_three_layers():
    network = ResNet((1, 2, 1, 2), 4, classes=None, ibn=True)
    places = [name for name, part in network.named_modules() if isinstance(part, InstanceBatchNorm)]
    assert places == ["layer1.0.bn1", "layer2.0.bn1", "layer2.1.bn1", "layer3.0.bn1"]
    assert network.layer2[0].bn1.half == 4 and network.layer2[0].bn1.BN.num_features == 4
    assert network(torch.randn(2, 3, 48, 48)).shape == (2, 128)
