"""The three networks of Track 1 against keys, counts, features and logits of the published ones."""

import json
import os

import numpy as np
import pytest
import torch

from encore.models.isc_network import IscNetwork, IscShape
from encore.models.resnet import RESNET152_LAYERS
from encore.training.checkpoint import load_stripped, shape_of, strip
from encore.training.checkpoint_files import save
from encore.training.optimizer_state import trainable
from tests.encore.isc_formula import load_weights, noise
from tests.golden_files import golden

ALL = "ENCORE_ALL_SEEDS" in os.environ
SHAPES = {
    "resnet50": IscShape(matrix=None),
    "resnet152": IscShape(RESNET152_LAYERS, matrix=None),
    "resnet_ibn50a": IscShape(matrix=None, ibn=True),
}
COUNTS = {  # full and stripped keys, trained tensors, parameters without classifiers, those of `base`
    "resnet50": (337, 333, 171, 65487937, 23508033),
    "resnet152": (949, 945, 477, 100123713, 58143809),
    "resnet_ibn50a": (363, 359, 197, 65487937, 23508033),
}


@pytest.fixture(scope="module", params=sorted(SHAPES))
def published(request):
    """(name, network with the formula's weights), made once for all tests of a backbone."""
    return request.param, load_weights(IscNetwork(SHAPES[request.param], classes=8)).eval()


def size(parameters):
    return sum(parameter.numel() for parameter in parameters)


def test_keys_and_counts(published):
    name, network = published
    expected = json.loads(golden("isc/forward_keys.json").read_text())["track1_" + name]
    state = network.state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == expected["state_dict"]
    assert size(network.parameters()) == expected["parameters"]
    assert len(trainable(network)) == expected["trainable_groups"]
    classifiers = [p for key, p in network.named_parameters() if key.startswith("classifier")]
    assert COUNTS[name] == (
        len(state),
        len(strip(state)),
        len(trainable(network)),
        size(network.parameters()) - size(classifiers),
        size(network.base.parameters()),
    )
    assert shape_of(strip(state), "here") == SHAPES[name]


def assert_close(found, expected, what):
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max(), what


CASES = [(200, 2, "p_3")] + [(200, 2, "p_trained"), (256, 4, "p_trained"), (256, 4, "p_3")] * ALL


@pytest.mark.parametrize("pixels, count, p", CASES)
def test_forward_of_the_published_networks(published, pixels, count, p):
    name, network = published
    pooling = network.base[10]
    if p == "p_3":
        network.fix_gem()
    with torch.no_grad(), np.load(str(golden("isc/forward_track1_%s.npz" % name))) as stored:
        prefix = "in%d/%s/" % (pixels, p)
        features = network.pooled(noise("forward%d" % pixels, (count, 3, pixels, pixels)))
        embedding = network.projector_feat_bn(features)
        for what, found in (("gem2048", features), ("head8192", embedding)):
            place = prefix + what
            assert_close(found[:, :64].numpy(), stored[place + "/first64"], place)
            assert_close(found.norm(dim=1).numpy(), stored[place + "/norm"], place)
            room = 1e-4 * found.abs().max().item()
            assert np.allclose(found.mean(1).numpy(), stored[place + "/mean"], atol=room)
        if prefix + "logits" in stored.files:
            logits = torch.cat([network.classifier(block)(embedding) for block in range(4)], 1)
            assert_close(logits.numpy(), stored[prefix + "logits"], "logits")
    network.base[10] = pooling


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_published_style_checkpoint_loads_strictly(name, tmp_path):
    narrow = IscShape(SHAPES[name].layers, 2, 16, 32, None, SHAPES[name].ibn)
    state = strip(load_weights(IscNetwork(narrow, classes=8)).state_dict())
    save(str(tmp_path / "baseline_cc.pth.tar"), state)
    assert len(state) == COUNTS[name][1]
    loaded = load_stripped(str(tmp_path / "baseline_cc.pth.tar")).state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())
