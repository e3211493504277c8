"""The frozen recipe of the published size holds the published values, written down here from the spec."""

from __future__ import annotations

import pytest

from checks.recipe import altered_keys, flatten, read_parameters
from checks.size import PROJECT

ISC_TRACK2 = {
    # The data set: every tenth training picture, 20 copies at 256 x 256, JPEG quality 100.
    "generate.every": 10,
    "generate.copies": 20,
    "generate.quality": 100,
    "generate.chain.size": 256,
    "generate.chain.recipe": "isc_100k_256",
    "generate.chain.foreign_pictures": 10001,
    # ResNet-50, projector 2048 -> 4096 -> 8192, matrix head 256.
    "network.layers": [3, 4, 6, 3],
    "network.width": 64,
    "network.hidden": 4096,
    "network.embedding": 8192,
    "network.matrix": 256,
    # Train.sh and the trainer.
    "train.batch": 128,
    "train.instances": 4,
    "train.replicas": 4,
    "train.learning_rate": 0.00035,
    "train.iterations": 8000,
    "train.epochs": 25,
    "train.height": 256,
    "train.width": 256,
    "train.pad": 10,
    "train.schedule": [5, 10, 25],
    "train.loss.cross_entropy": 10,
    "train.loss.matrix_cross_entropy": 1,
    "train.loss.distillation": 2,
    "train.loss.triplet": 1,
    "train.loss.label_smoothing": 0.1,
    "train.loss.temperature": 2,
    "train.loss.margin": 0,
    # The test: four scales, GeM reset to 3, stretching with 5 neighbours and factor -2.5.
    "extract.scales": [200, 256, 320, 400],
    "extract.batch_size": 500,
    "extract.batches_per_chunk": 100,
    "extract.gem_exponent": 3.0,
    "test.scales": [200, 256, 320, 400],
    "test.stretching.neighbours": 5,
    "test.stretching.factor": -2.5,
    "test.stretching.reduction": "avg",
}


@pytest.fixture(scope="module")
def frozen():
    return read_parameters(PROJECT / "claims/published_params.yaml")


def test_the_frozen_recipe_holds_the_published_values(frozen):
    flat = flatten(frozen["isc_track2"])
    assert {key: flat.get(key) for key in ISC_TRACK2} == ISC_TRACK2


def test_params_yaml_is_the_frozen_recipe(frozen):
    found = read_parameters(PROJECT / "params.yaml")
    assert altered_keys({name: found.get(name, {}) for name in frozen}, frozen) == []


def test_one_changed_value_is_named(frozen):
    changed = {
        **frozen,
        "isc_track2": {**frozen["isc_track2"], "train": {**frozen["isc_track2"]["train"], "epochs": 24}},
    }
    assert altered_keys(changed, frozen) == ["isc_track2.train.epochs"]
