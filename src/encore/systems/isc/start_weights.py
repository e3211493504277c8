"""The network before its first step: initial weights by seed, then the start weights of the backbone."""

from __future__ import annotations

from typing import NamedTuple, Tuple

import torch

from encore.models.isc_network import CLASSIFIER_BLOCKS, CLASSIFIER_KEYS, IscNetwork
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.momentum2_teacher.published_files import read_backbone
from encore.training import checkpoint_files

BASE_OF_BACKBONE = {
    "conv1": "base.0",
    "bn1": "base.1",
    "layer1": "base.4",
    "layer2": "base.5",
    "layer3": "base.7",
    "layer4": "base.9",
}


class StartWeights(NamedTuple):
    """What non-strict loading did: names loaded, names of the backbone left at their initial value, names not
    used."""

    loaded: Tuple[str, ...]
    missing: Tuple[str, ...]
    unused: Tuple[str, ...]


def build_network(recipe, classes=None, blocks=range(CLASSIFIER_BLOCKS)):
    """IscNetwork with initial weights from recipe.seed; those of body and blocks do not depend on who carries
    which."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, recipe.system, "initial weights"))
        network = IscNetwork(recipe.shape)
    if classes is None:
        return network
    whole = IscNetwork(recipe.shape, classes, blocks)
    whole.load_state_dict(network.state_dict(), strict=False)
    for key, parameter in whole.named_parameters():
        if key in CLASSIFIER_KEYS:
            draws = torch.Generator().manual_seed(
                derive_seed(recipe.seed, recipe.system, "initial weights", key)
            )
            with torch.no_grad():
                parameter.normal_(0.0, 0.001, generator=draws)
    return whole


def load_start_weights(network, path):
    """Load a torchvision-named backbone (with or without fc) into network.base, non-strictly -> StartWeights.

    The file is a bare state dict (resnet50_bar.pth) or holds one under `model`, of tensors or arrays (the
    published pickles of ResNet-152 and ResNet-50-IBN-a). Refusal where a shape differs or nothing at all
    fits; what did not match is returned, and the stage reports it.
    """
    own = network.state_dict()
    fitting, unused = {}, []
    for name, value in read_backbone(path).items():
        module, _, rest = name.partition(".")
        key = "%s.%s" % (BASE_OF_BACKBONE.get(module, module), rest)
        if key not in own or not key.startswith("base."):
            unused.append(name)
        elif own[key].shape != value.shape:
            raise Refusal(
                "%s: %s has shape %s, expected %s: give the start weights of this backbone"
                % (path, name, tuple(value.shape), tuple(own[key].shape))
            )
        else:
            fitting[key] = value
    if not fitting:
        raise Refusal(
            "%s has no tensor of the backbone, expected torchvision names such as conv1.weight: "
            "give a bare "
            "state dict" % path
        )
    network.load_state_dict(fitting, strict=False)
    missing = [key for key in own if key.startswith("base.") and key not in fitting and key != "base.10.p"]
    return StartWeights(tuple(fitting), tuple(missing), tuple(unused))


def write_untrained(recipe, start_weights_path, path):
    """Write the stripped state dict of the network before its first step, the trained one's point of
    comparison."""
    network = build_network(recipe)
    if start_weights_path is not None:
        load_start_weights(network, start_weights_path)
    checkpoint_files.save(path, network.state_dict())
