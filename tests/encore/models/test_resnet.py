"""ResNet against torchvision's: names, initial weights, outputs."""

import pytest
import torch
import torch.nn as nn

from encore.detection.torchvision_nms import load_torchvision
from encore.models.resnet import RESNET18_LAYERS, RESNET34_LAYERS, BasicBlock, ResNet


def test_size_of_resnet50():
    network = ResNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 25557032
    bare = ResNet(classes=None)
    assert sum(parameter.numel() for parameter in bare.parameters()) == 25557032 - 2048 * 1000 - 1000


def test_features_of_basic_blocks():
    network = ResNet(RESNET18_LAYERS, 4, classes=None, block=BasicBlock)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, network.features) == (2, 32)


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("resnet50", {}),
        ("resnet18", {"layers": RESNET18_LAYERS, "block": BasicBlock}),
        ("resnet34", {"layers": RESNET34_LAYERS, "block": BasicBlock}),
    ],
)
def test_names_seeded_weights_and_outputs_of_torchvision(theirs, ours):
    models = load_torchvision().models
    torch.manual_seed(5)
    ours = ResNet(**ours).eval()
    torch.manual_seed(5)
    same(ours, getattr(models, theirs)().eval())


def test_small_stem_of_torchvision_with_its_first_layers_replaced():
    models = load_torchvision().models
    torch.manual_seed(5)
    ours = ResNet(RESNET18_LAYERS, classes=200, block=BasicBlock, small_stem=True).eval()
    torch.manual_seed(5)
    theirs = models.resnet18(num_classes=200)
    theirs.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    same(ours, theirs.eval())


def same(ours, theirs):
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_last_stride_keeps_the_map_twice_as_large():
    network = ResNet((1, 1, 1, 1), 2, last_stride=1, classes=None)
    assert network.layer4[0].conv2.stride == network.layer4[0].downsample[0].stride == (1, 1)
    assert ResNet((1, 1, 1, 1), 2, classes=None).layer4[0].conv2.stride == (2, 2)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, network.features)
