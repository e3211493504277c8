"""Virtual replicas against three training steps of the published code."""

import json
import random

import pytest
import torch

from encore.models.isc_network import IscNetwork, IscShape
from encore.systems.isc.loss import IscLoss
from encore.training.class_parallel import ClassParallelStep
from encore.training.distributed import tree_sum
from encore.training.replicas import GradientSum
from tests.encore.isc_formula import SEED, checksum, identities, load_weights
from tests.golden_files import golden

TERMS = {
    "ce": "ce",
    "triplet": "triplet",
    "kd": "kd",
    "ce_matrix": "ce_256",
    "accuracy": "accuracy",
    "accuracy_matrix": "accuracy_256",
}
# what the published code itself differs by between torch versions, rounded up
LOSS_TOLERANCE = (1e-5, 5e-3, 2e-2)
NO_TRUE_GRADIENT = ("projector_feat_bn.0.0.bias", "projector_feat_bn.0.3.bias")  # a bias before a BatchNorm


class Recorded(random.Random):
    """A random.Random that keeps what WaveBlock draws."""

    def __init__(self, seed):
        super().__init__(seed)
        self.draws = []

    def randint(self, low, high):
        value = super().randint(low, high)
        self.draws.append([low, high, value])
        return value


def assert_checksums(found, expected, tolerance):
    for name, values in expected.items():
        if name in NO_TRUE_GRADIENT:
            continue
        magnitude = checksum(found[name])[1:3]
        assert magnitude == pytest.approx(values[1:3], rel=tolerance), name


@pytest.mark.parametrize("track, matrix, steps", [("track2", 256, 3), ("track1", None, 3)])
def test_steps_of_the_published_training(track, matrix, steps):
    published = json.loads(golden("isc/train_steps_%s.json" % track).read_text())
    network = load_weights(IscNetwork(IscShape(matrix=matrix), classes=8)).train()
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(trainable) == published["groups"]
    optimizer = torch.optim.Adam([{"params": [parameter]} for parameter in trainable], lr=3.5e-4)
    step = ClassParallelStep(network, IscLoss(), replicas=4)
    rng = Recorded(SEED)
    for number, expected in enumerate(published["steps"][:steps]):
        rng.draws = []
        images, labels = identities("train/step%d" % (number + 1), 8, 4, 64)
        _, terms = step.gradients(images, labels, [rng] * 4)
        optimizer.step()
        assert rng.draws == expected["waveblock_draws_lo_hi_value"]
        for ours, theirs in TERMS.items():
            if ours in terms:
                assert terms[ours].item() == pytest.approx(expected[theirs], rel=LOSS_TOLERANCE[number]), ours
        if number == 0:
            parameters = dict(network.named_parameters())
            gradients = {
                name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None
            }
            assert_checksums(parameters, expected["parameters"], 1e-4)
            assert_checksums(gradients, expected["gradients"], 5e-3)
            assert_checksums(network.state_dict(), expected["running_stats"], 1e-5)
        assert network.base[1].num_batches_tracked == number + 1


@pytest.mark.parametrize("count", range(1, 10))
def test_gradients_add_up_in_the_order_of_tree_sum(count):
    torch.manual_seed(count)
    parts = [torch.randn(50) for _ in range(count)]
    summed = GradientSum()
    for part in parts:
        summed.add([part.clone()])
    exact = torch.stack(parts).double().sum(0)
    assert torch.allclose(summed.total()[0].double(), exact, atol=1e-5)
    if count in (1, 2, 4, 8):
        again = GradientSum()
        for part in parts:
            again.add([part.clone()])
        assert torch.equal(again.total()[0], tree_sum(parts))
