import pytest
import torch

from encore.models.isc_network import IscShape
from encore.models.resnet import ResNet
from encore.runtime.refusal import Refusal
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.start_weights import build_network, load_start_weights, write_untrained
from encore.training.checkpoint import load_stripped

RECIPE = TrainingRecipe(seed=5, shape=IscShape((1, 1, 1, 1), 2, 16, 32, 8))


def test_a_torchvision_backbone_is_loaded_and_what_does_not_match_is_told(tmp_path):
    torch.manual_seed(1)
    backbone = ResNet(RECIPE.shape.layers, 2, classes=10).state_dict()
    del backbone["layer3.0.bn2.bias"]
    torch.save(backbone, str(tmp_path / "start.pth"))
    network = build_network(RECIPE)
    told = load_start_weights(network, str(tmp_path / "start.pth"))
    assert told.missing == ("base.7.0.bn2.bias",) and told.unused == ("fc.weight", "fc.bias")
    assert torch.equal(network.base[9][0].conv3.weight, backbone["layer4.0.conv3.weight"])
    write_untrained(RECIPE, str(tmp_path / "start.pth"), str(tmp_path / "untrained"))
    again = load_stripped(str(tmp_path / "untrained"), RECIPE.shape)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "content, named",
    [
        ({"x": torch.ones(1)}, "no tensor of the backbone"),
        ({"conv1.weight": torch.ones(64, 3, 7, 7)}, r"conv1\.weight has shape"),
    ],
)
def test_weights_of_something_else_are_refused(tmp_path, content, named):
    torch.save(content, str(tmp_path / "start.pth"))
    with pytest.raises(Refusal, match=named):
        load_start_weights(build_network(RECIPE), str(tmp_path / "start.pth"))


def test_initial_weights_do_not_depend_on_who_carries_which_block():
    whole = build_network(RECIPE, 8).state_dict()
    for blocks in ((0, 1), (2, 3), (3,)):
        part = build_network(RECIPE, 8, blocks).state_dict()
        assert all(torch.equal(value, whole[name]) for name, value in part.items())
    other = build_network(TrainingRecipe(seed=6, shape=RECIPE.shape), 8).state_dict()
    assert not torch.equal(other["base.0.weight"], whole["base.0.weight"])
    assert not torch.equal(whole["classifier_0.weight"], whole["classifier_1.weight"])
