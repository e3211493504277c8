"""Both parameter files hold the same keys, and every stage accepts its section of either."""

import os

import pytest
import yaml

from encore.runtime.parameters import read_parameters
from encore.systems.isc.parameters import network_shape, training_recipe
from encore.systems.isc.query_set import QueryParameters
from encore.systems.isc.training_set import GenerateParameters
from encore.systems.isc_overlays.recipe import DetectorRecipe
from encore.systems.isc_overlays.training_set import GenerateParameters as OverlayParameters
from encore.systems.isc_track1.augmented_queries import CropQueriesParameters
from encore.systems.isc_track1.backbones import BACKBONES, Networks
from encore.systems.isc_track1.extraction import ExtractParameters as ModelExtractParameters
from encore.systems.isc_track1.faces import FaceParameters
from encore.systems.isc_track1.fuse_parameters import FuseParameters
from encore.systems.isc_track1.groups import weights_path
from encore.systems.isc_track1.normalised_search import NormaliseParameters
from encore.systems.isc_track1.pairs import PairParameters
from encore.systems.isc_track1.runs import PUBLISHED_SHAPES, PairTraining, run_of
from encore.systems.isc_track1.test_plan import TestPlan
from encore.systems.isc_track1.training_sets import TrainingSetParameters
from stages.isc_overlays.detect import DetectParameters
from stages.isc_track1.pretrain import PretrainParameters as BackbonesParameters
from stages.isc_track2.crop_overlays import CropParameters
from stages.isc_track2.extract import ExtractParameters
from stages.isc_track2.pretrain import PretrainParameters
from stages.isc_track2.test import TestParameters as EvaluationParameters

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIZES = [os.path.join(ROOT, "params.yaml"), os.path.join(ROOT, "mini", "params.yaml")]
STAGES = {
    "isc_track2": {
        "generate": GenerateParameters,
        "queries": QueryParameters,
        "crop_overlays": CropParameters,
        "pretrain": PretrainParameters,
        "extract": ExtractParameters,
        "test": EvaluationParameters,
    },
    "isc_overlays": {"generate": OverlayParameters, "train": DetectorRecipe, "detect": DetectParameters},
    "isc_track1": {
        "networks": Networks,
        "faces": FaceParameters,
        "generate": TrainingSetParameters,
        "pairs": PairParameters,
        "pretrain": BackbonesParameters,
        "train_pairs": PairTraining,
        "crop_queries": CropQueriesParameters,
        "extract": ModelExtractParameters,
        "normalise": NormaliseParameters,
        "test": TestPlan,
        "fuse": FuseParameters,
    },
}
OTHERS = {
    "isc_track2": {"train", "network", "models"},
    "isc_overlays": set(),
    "isc_track1": {"train", "stripped"},
}
# Where one size says null and the other gives values.
EITHER = (
    "isc_track2.queries.held_out",
    "isc_track2.pretrain.barlow_twins",
    "isc_track1.pairs.held_out",
    "drip.queries.held_out",
    "drip.stages",
    "reid.runs",
    "reid.students",
) + tuple(
    "isc_track1.pretrain.{}.{}".format(backbone.arch, method)
    for backbone in BACKBONES
    for method in ("barlow_twins", "momentum2_teacher")
)


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
@pytest.mark.parametrize("system", sorted(STAGES))
def test_every_stage_accepts_its_section(path, system):
    for name, parameters in STAGES[system].items():
        read_parameters(path, "{}.{}".format(system, name), parameters)
    assert set(STAGES[system]) | OTHERS[system] == set(load(path)[system])


@pytest.mark.parametrize("path", SIZES)
def test_the_training_sections_hold(path):
    recipe = training_recipe(path, "isc_track2")
    assert recipe.shape == network_shape(path, "isc_track2")
    plan = read_parameters(path, "isc_track1.test", TestPlan)
    for model in plan.models():
        assert run_of(*model).recipe(path).epochs == load(path)["isc_track1"]["train"]["epochs"]


def test_the_published_runs_are_those_of_the_published_scripts():
    plan = read_parameters(SIZES[0], "isc_track1.test", TestPlan)
    assert len(plan.models()) == 36
    for model in plan.models():
        recipe = run_of(*model).recipe(SIZES[0])
        assert recipe.shape == PUBLISHED_SHAPES[run_of(*model).backbone.arch]
        assert (
            recipe.iterations == (800 if run_of(*model).pair else 8000)
            and recipe.plain == run_of(*model).pair
        )


@pytest.mark.parametrize("path", SIZES)
def test_stripped_weights_lie_where_the_pipeline_looks_for_them(path):
    section = load(path)["isc_track1"]
    for tag, backbone in read_parameters(path, "isc_track1.test", TestPlan).models():
        folder = "{}/{}-{}".format(section["stripped"], tag, backbone)
        assert os.path.dirname(weights_path(tag, backbone, section["test"]["groups"])) == folder


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
