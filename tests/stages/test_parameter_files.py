"""Both parameter files hold the same keys, and every stage accepts its section of either."""

import os

import pytest
import yaml

from encore.runtime.parameters import read_parameters
from encore.systems.isc.parameters import network_shape, training_recipe
from encore.systems.isc.query_set import QueryParameters
from encore.systems.isc.training_set import GenerateParameters
from stages.isc_track2.crop_overlays import CropParameters
from stages.isc_track2.extract import ExtractParameters
from stages.isc_track2.pretrain import PretrainParameters
from stages.isc_track2.test import TestParameters as EvaluationParameters

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIZES = [os.path.join(ROOT, "params.yaml"), os.path.join(ROOT, "mini", "params.yaml")]
STAGES = {
    "generate": GenerateParameters,
    "queries": QueryParameters,
    "crop_overlays": CropParameters,
    "pretrain": PretrainParameters,
    "extract": ExtractParameters,
    "test": EvaluationParameters,
}
# Where one size says null and the other gives values.
EITHER = ("isc_track2.queries.held_out", "isc_track2.pretrain.barlow_twins")


def keys(value, path=""):
    if path in EITHER or not isinstance(value, dict):
        return {path}
    return {key for name, below in value.items() for key in keys(below, (path + "." + name).lstrip("."))}


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def test_both_sizes_have_the_same_keys():
    assert keys(load(SIZES[0])) == keys(load(SIZES[1]))


@pytest.mark.parametrize("path", SIZES)
def test_every_stage_accepts_its_section(path):
    for name, parameters in STAGES.items():
        read_parameters(path, "isc_track2." + name, parameters)
    recipe = training_recipe(path, "isc_track2")
    assert recipe.shape == network_shape(path, "isc_track2")
    assert set(STAGES) | {"train", "network", "models"} == set(load(path)["isc_track2"])


def test_scales_of_extraction_and_test_agree():
    for path in SIZES:
        section = load(path)["isc_track2"]
        assert section["extract"]["scales"] == section["test"]["scales"]


def test_held_out_queries_use_another_seed_and_no_milder_chain():
    section = load(SIZES[1])["isc_track2"]
    held_out = section["queries"]["held_out"]
    assert held_out["seed"] != section["generate"]["seed"]
    assert held_out["chain"] == section["generate"]["chain"]
    assert held_out["chain"]["recipe"] == load(SIZES[0])["isc_track2"]["generate"]["chain"]["recipe"]
