"""Pre-training writes start weights that the Track 2 backbone takes, and learns."""

import pytest
import torch

from encore.models.isc_network import IscNetwork, IscShape
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.barlow_twins import PretrainingRecipe, pretrain, projector
from encore.systems.isc.start_weights import load_start_weights
from tests.encore.in_memory_set import InMemorySet

SHAPE = IscShape((1, 1, 1, 1), 4, 16, 32, 8)
RECIPE = PretrainingRecipe(
    layers=SHAPE.layers,
    width=4,
    size=32,
    batch=32,
    epochs=32,
    warm_up_epochs=1,
    projector=(32, 32, 32),
    learning_rate_weights=16.0,
    learning_rate_biases=0.4,
    workers=0,
)


def test_the_backbone_learns_and_fits_track_2(tmp_path):
    path = str(tmp_path / "start.pth")
    done = pretrain(RECIPE, InMemorySet(16, 4, 40), path, device="cpu")
    assert done.steps == len(done.losses) == 32 * 2
    assert sum(done.losses[-16:]) < 0.9 * sum(done.losses[:16])
    loaded = load_start_weights(IscNetwork(SHAPE), path)
    assert loaded.missing == () and loaded.unused == () and len(loaded.loaded) == len(safe_load(path))
    pretrain(RECIPE, InMemorySet(16, 4, 40), str(tmp_path / "again.pth"), device="cpu")
    again = safe_load(str(tmp_path / "again.pth"))
    assert all(torch.equal(value, again[name]) for name, value in safe_load(path).items())


def test_the_projector_has_the_published_layers():
    head = projector(2048, (8192, 8192, 8192))
    assert [type(layer).__name__ for layer in head] == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
    assert [tuple(layer.weight.shape) for layer in head if hasattr(layer, "in_features")] == [
        (8192, 2048),
        (8192, 8192),
        (8192, 8192),
    ]
    assert all(layer.bias is None for layer in head if hasattr(layer, "in_features"))


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(Refusal, match="one batch of 32 images at least, found 4"):
        pretrain(RECIPE, InMemorySet(2, 2), str(tmp_path / "start.pth"), device="cpu")
