"""ResNet against torchvision's: names, initial weights, outputs."""

import pytest
import torch

from encore.models.resnet import ResNet


def torchvision_models():
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # a CPU torch without torchvision's compiled part
        pytest.skip("torchvision cannot be imported here: %s" % error)
    return models


def test_size_of_resnet50():
    network = ResNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 25557032
    bare = ResNet(classes=None)
    assert sum(parameter.numel() for parameter in bare.parameters()) == 25557032 - 2048 * 1000 - 1000


def test_names_seeded_weights_and_outputs_of_torchvision():
    models = torchvision_models()
    torch.manual_seed(5)
    ours = ResNet().eval()
    torch.manual_seed(5)
    theirs = models.resnet50().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_last_stride_keeps_the_map_twice_as_large():
    network = ResNet((1, 1, 1, 1), 2, last_stride=1, classes=None)
    assert network.layer4[0].conv2.stride == network.layer4[0].downsample[0].stride == (1, 1)
    assert ResNet((1, 1, 1, 1), 2, classes=None).layer4[0].conv2.stride == (2, 2)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, network.features)
