"""The network against features and logits of the published one."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from encore.models.isc_network import IscNetwork, IscShape
from encore.runtime.refusal import Refusal
from encore.training.checkpoint import strip
from encore.training.optimizer_state import trainable
from tests.encore.isc_formula import load_weights, noise
from tests.golden_files import golden

MINI = IscShape((1, 1, 1, 1), 2, 16, 32, 8)


@pytest.fixture(scope="module")
def published():
    return load_weights(IscNetwork(classes=8)).eval()


def test_state_dict_of_the_published_network(published):
    expected = json.loads(golden("isc/forward_keys.json").read_text())["track2_resnet50"]
    state = published.state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == expected["state_dict"]
    assert len(state) == expected["keys"] == 353 and len(strip(state)) == 345
    assert len(trainable(published)) == expected["trainable_groups"] == 180
    assert sum(parameter.numel() for parameter in published.parameters()) == expected["parameters"]


def assert_close(found, expected, what):
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max(), what


def assert_features(found, stored, prefix):
    assert_close(found[:, :64].numpy(), stored[prefix + "/first64"], prefix)
    assert_close(found.norm(dim=1).numpy(), stored[prefix + "/norm"], prefix)
    assert np.allclose(found.mean(1).numpy(), stored[prefix + "/mean"], atol=1e-4 * found.abs().max().item())


@pytest.mark.parametrize("size, count, p", [(256, 4, "p_trained"), (200, 2, "p_trained"), (200, 2, "p_3")])
def test_forward_of_the_published_network(published, size, count, p):
    images = noise("forward%d" % size, (count, 3, size, size))
    pooling = published.base[10]
    if p == "p_3":
        published.fix_gem()
    with torch.no_grad(), np.load(str(golden("isc/forward_track2_resnet50.npz"))) as stored:
        prefix = "in%d/%s/" % (size, p)
        features = published.pooled(images)
        embedding = published.projector_feat_bn(features)
        matrix = published.matrix_feat_bn(embedding)
        assert_features(features, stored, prefix + "gem2048")
        assert_features(embedding, stored, prefix + "head8192")
        assert_features(matrix, stored, prefix + "head256")
        assert_close(F.normalize(matrix).numpy(), stored[prefix + "head256_l2"], "normalised")
        if prefix + "logits" in stored.files:
            for matrix_head, name, inputs in ((False, "logits", embedding), (True, "logits_256", matrix)):
                logits = torch.cat(
                    [published.classifier(block, matrix_head)(inputs) for block in range(4)], 1
                )
                assert_close(logits.numpy(), stored[prefix + name], name)
    published.base[10] = pooling


def test_a_narrow_network_gives_the_three_outputs():
    torch.manual_seed(0)
    network = IscNetwork(MINI, classes=12)
    outputs = network(torch.randn(3, 3, 32, 32))
    assert [tuple(part.shape) for part in outputs] == [(3, 64), (3, 12), (3, 12)]
    assert network.eval().descriptor(torch.randn(2, 3, 32, 32)).shape == (2, 8)
    assert network.base[6] is network.base[8] is network.wave_block
    wide = torch.cat([network.classifier(block).weight.flatten() for block in range(4)])
    assert 0.0005 < wide.std() < 0.0015


@pytest.mark.parametrize("classes", [10, 0, -4])
def test_classes_must_divide_by_four(classes):
    with pytest.raises(Refusal, match="positive multiple of 4 .* found %d" % classes):
        IscNetwork(MINI, classes=classes)


def test_a_process_carries_its_blocks_only():
    state = IscNetwork(MINI, classes=8, blocks=(2, 3)).state_dict()
    assert [name for name in state if name.startswith("classifier")] == [
        "classifier_2.weight",
        "classifier_3.weight",
        "classifier_2_1.weight",
        "classifier_3_1.weight",
    ]
