"""Every drip stage accepts its section of both parameter files, and the published one holds the published
schedule."""

import os

import pytest
import yaml

from encore.runtime.parameters import read_parameters
from encore.systems.drip.backbone_start import StartParameters
from encore.systems.drip.held_out_queries import DripQueryParameters
from encore.systems.drip.network import NetworkShape
from encore.systems.drip.picture_folders import PictureParameters
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.stage_values import compared_pair, read_stages
from encore.systems.drip.training_neighbours import PUBLISHED
from stages.drip.compare import read_inferred
from stages.drip.ensemble import EnsembleParameters
from stages.drip.infer import InferenceParameters
from tests.stages.test_parameter_files import SIZES

SECTIONS = {
    "queries": DripQueryParameters,
    "pictures": PictureParameters,
    "network": NetworkShape,
    "start": StartParameters,
    "train": DripRecipe,
    "inference": InferenceParameters,
    "ensemble": EnsembleParameters,
}
SCHEDULE = {
    "TEST26_50k_nobias_l1": ("start", 50000, 0, 200, 0.5),
    "TEST26_100k_nobias_l1": ("TEST26_50k_nobias_l1", 50000, 50000, 200, 0.5),
    "TEST26_200k_nobias_l1": ("TEST26_100k_nobias_l1", 100000, 100000, 100, 0.5),
    "TEST26_500k_nobias_l1": ("TEST26_200k_nobias_l1", 250000, 250000, 84, 0.6),
    "TEST26_1000k_nobias_l1": ("TEST26_500k_nobias_l1", 750000, 250000, 84, 0.65),
    "TEST26_1500k_nobias_l1": ("TEST26_1000k_nobias_l1", 1000000, 500000, 64, 0.75),
}


@pytest.mark.parametrize("path", SIZES)
def test_every_stage_accepts_its_section(path):
    for name, parameters in SECTIONS.items():
        read_parameters(path, "drip." + name, parameters)
    with open(path, encoding="utf-8") as file:
        assert set(yaml.safe_load(file)["drip"]) == set(SECTIONS) | {"stages", "inferred"}


@pytest.mark.parametrize("path", SIZES)
def test_stages_that_are_described_and_compared_are_trained(path):
    stages = read_stages(path)
    ensemble = read_parameters(path, "drip.ensemble", EnsembleParameters)
    assert set(ensemble.models) <= set(read_inferred(path)) <= set(stages)
    assert None not in compared_pair(stages, path)


def test_the_published_schedule_and_values():
    stages = read_stages(SIZES[0])
    found = {
        name: (
            values.from_,
            values.n_facebook_samples,
            values.n_imagenet_samples,
            values.batch_size,
            values.qry_augs_intensity,
        )
        for name, values in stages.items()
        if name in SCHEDULE
    }
    assert found == SCHEDULE
    for name in SCHEDULE:
        assert stages[name].folder_name == name and stages[name].n_frm_face_samples == 0
        if name != "TEST26_1500k_nobias_l1":
            assert (stages[name].stop.val_loss, stages[name].stop.trn_loss) == (1.0, 2.0)
    assert read_parameters(SIZES[0], "drip.network", NetworkShape) == NetworkShape()
    recipe = read_parameters(SIZES[0], "drip.train", DripRecipe)
    assert recipe.digest() == DripRecipe(text_layout="raqm").digest()
    assert read_parameters(SIZES[0], "drip.inference", InferenceParameters).normalisation == PUBLISHED


def recipes():
    """(id, recipe) of the claims that state another one."""
    with open(os.path.join(os.path.dirname(SIZES[0]), "claims", "drip.yaml"), encoding="utf-8") as file:
        return [(row["id"], row["recipe"]) for row in yaml.safe_load(file) if "recipe" in row]


@pytest.mark.parametrize("recipe", [pytest.param(recipe, id=name) for name, recipe in recipes()])
def test_the_recipe_of_every_claim_can_be_run(tmp_path, recipe):
    with open(SIZES[0], encoding="utf-8") as file:
        parameters = yaml.safe_load(file)
    for key, value in recipe.items():
        section, (*parts, last) = parameters, key.split(".")
        for part in parts:
            section = section[part]
        assert last in section
        section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(parameters, sort_keys=False))
    for name, cls in SECTIONS.items():
        read_parameters(path, "drip." + name, cls)
    read_stages(path)


def test_held_out_queries_of_the_mini_size_have_a_seed_of_their_own():
    queries = read_parameters(SIZES[1], "drip.queries", DripQueryParameters)
    assert queries.held_out.seed != read_parameters(SIZES[1], "drip.train", DripRecipe).seed
