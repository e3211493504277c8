"""Recovery against outputs of the published scripts: one batch of 10 classes, 20 iterations."""

import dataclasses
import hashlib
import json
import random

import numpy as np
import pytest
import torch

from encore.systems.fkd.networks import NetworkShape, build
from encore.systems.fkd.recover.curriculum import learning_rate, smallest_scale
from encore.systems.fkd.recover.output import as_bytes, picture_name
from encore.systems.fkd.recover.priors import mean_length, total_variation
from encore.systems.fkd.recover.recipe import PRESETS, RecoverRecipe
from encore.systems.fkd.recover.shared_augmentation import Augmentation, augmented, draw_augmentation
from encore.systems.fkd.recover.statistics import MatchedTeacher
from encore.systems.fkd.recover.synthesis import Synthesis
from tests.encore.systems.fkd.formula_weights import formula_weights
from tests.golden_files import golden

SMALL = ("imagenet_64", "tiny_64", "cifar_32", "cda_cosine_64")
ALL = SMALL + ("imagenet_224",)
STEP = 1e-6
"""Relative tolerance of the loss terms, and of their parts by layer, of one iteration from the same pictures;
measured with torch 2.0.1 and 2.13: 3.1e-7 and 1.4e-7."""
GRADIENT = 1e-5
"""Of the length of the gradient in that iteration; measured: 1.0e-7. It is the sum of many more terms, whose
order differs between processors."""
FREE_RUN = {0: 1e-6, 1: 5e-5, 2: 1e-3, 5: 5e-3, 10: 5e-2, 19: 5e-2}
"""Relative tolerance of the loss in a free run: 10 times what two versions of torch differ by."""
TIMES = 2
"""How much further from the published pictures a free run may end, on average over all pixels, than the
published code itself does with another torch: 0.0033 (imagenet_64), 0.0097 (cda_cosine_64), 0.018 (cifar).
Measured: 0.0001, 0.0051, 0.0071 with torch 2.0.1; 0.0008, 0.0081, 0.0161 with 2.13. The bits of the published
run are not reached with its torch either: the gradient through a BatchNorm layer is summed in another order
(MatchedTeacher), and Adam's first steps go by the sign even of gradients that are nearly 0."""
PRESET = {"imagenet": "imagenet", "tiny": "tiny", "cifar": "cifar100", "cda": "cda_imagenet"}


def told(name):
    return json.loads(golden("fkd/recover/%s.json" % name).read_text())


def arrays(name):
    return np.load(str(golden("fkd/recover/%s.npz" % name)))


def recipe_of(config):
    """The preset of the script with what the file says was chosen otherwise."""
    start = PRESETS[PRESET[config["variant"]]]
    return dataclasses.replace(
        start,
        classes=config["classes"],
        batch=config["batch"],
        size=config["size"],
        iterations=config["iterations"],
        learning_rate=config["lr"],
        jitter=config["jitter"],
        r_bn=config["r_bn"],
        first_bn_multiplier=config["first_bn_multiplier"],
        tv=config.get("tv_l2", 0.0),
        l2=config.get("l2_scale", 0.0),
        curriculum=config.get("mode"),
        milestone=config.get("milestone", 1.0),
    )


def synthesis_of(name):
    config = told(name)["config"]
    shape = NetworkShape(classes=config["classes"], small_stem=config["small_stem"])
    teacher = build(shape, 0)
    teacher = formula_weights(teacher, config["teacher_seed"])
    generator = torch.Generator()
    generator.manual_seed(config["seed"])
    targets = range(config["classes"])
    return Synthesis(
        recipe_of(config), MatchedTeacher(teacher), targets, generator, random.Random(config["seed"])
    )


def drawn(row):
    crop = row.get("crop_top_left_height_width")
    return Augmentation(None if crop is None else tuple(crop), row.get("flip"), tuple(row["roll"]))


def spread(name):
    """Mean difference of the published code's last pictures with two versions of torch."""
    content = json.loads(golden("fkd/tolerances.json").read_text())
    (versions,) = [content[compared] for compared in content if "torch 2.13" in compared]
    return versions["recover"][name]["final_images_abs"]["mean"]


def assert_terms(losses, row, relative):
    assert losses.cross_entropy.item() == pytest.approx(row["ce"], rel=relative)
    assert losses.batch_norm.item() == pytest.approx(row["bn"], rel=relative)
    assert losses.total.item() == pytest.approx(row["total"], rel=relative)
    for found, name in ((losses.total_variation, "tv"), (losses.mean_length, "l2")):
        assert found is None or found.item() == pytest.approx(row[name], rel=relative)


@pytest.mark.parametrize("name", ALL)
def test_the_noise_is_the_published_one(name):
    row = told(name)["rows"][0]["image_before_step"]
    noise = synthesis_of(name).pictures.detach().numpy()
    assert hashlib.sha256(noise.astype("<f4").tobytes()).hexdigest() == row["sha256"]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("iteration", [0, 10])
def test_terms_of_one_iteration_from_the_stored_pictures(name, iteration):
    synthesis, row = synthesis_of(name), told(name)["rows"][iteration]
    if iteration:
        with torch.no_grad():
            synthesis.pictures.copy_(torch.from_numpy(arrays(name)["images_before_step_10"]))
    loss, losses = synthesis.losses(drawn(row), row["lr"])
    assert_terms(losses, row, STEP)
    assert losses.by_layer.tolist() == pytest.approx(row["bn_by_layer"], rel=STEP)
    (gradient,) = torch.autograd.grad(loss, synthesis.pictures)
    assert gradient.double().norm().item() == pytest.approx(row["image_gradient_l2"], rel=GRADIENT)
    seen = augmented(synthesis.pictures, drawn(row)).detach()
    assert seen.flatten()[:4].tolist() == pytest.approx(row["augmented"]["first"], abs=3e-7)
    assert seen.double().norm().item() == pytest.approx(row["augmented"]["l2"], rel=1e-8)


def test_terms_at_the_published_size():
    synthesis, row = synthesis_of("imagenet_224"), told("imagenet_224")["rows"][0]
    with torch.no_grad():
        _, losses = synthesis.losses(drawn(row), row["lr"])
        seen = augmented(synthesis.pictures, drawn(row))
    assert_terms(losses, row, STEP)
    assert losses.total_variation is None and losses.mean_length is None  # their weights are 0
    assert total_variation(seen).item() == pytest.approx(row["tv"], rel=STEP)
    assert mean_length(seen).item() == pytest.approx(row["l2"], rel=STEP)


@pytest.mark.parametrize("name", ALL)
def test_draws_and_learning_rates(name):
    recipe, content = recipe_of(told(name)["config"]), told(name)
    generator, rolls = torch.Generator(), random.Random(content["config"]["seed"])
    generator.manual_seed(content["config"]["seed"])
    torch.randn((recipe.classes, 3, recipe.size, recipe.size), generator=generator)
    for step, row in enumerate(content["rows"]):
        assert draw_augmentation(recipe, smallest_scale(recipe, step), generator, rolls) == drawn(row)
        assert learning_rate(recipe, step) == row["lr"]


@pytest.mark.parametrize(
    "name, steps",
    # Whole where that takes seconds. One of tiny_64, whose small stem keeps all 64 pixels, takes a minute, as
    # one of imagenet_224 does: of these one iteration from the stored pictures, and the draws of all.
    [("imagenet_64", 20), ("cda_cosine_64", 20), ("cifar_32", 20), ("tiny_64", 2)],
)
def test_a_free_run(name, steps):
    content = told(name)
    synthesis = synthesis_of(name)
    for row in content["rows"][:steps]:
        losses = synthesis.step()
        assert losses.augmentation == drawn(row)
        if row["iteration"] in FREE_RUN:
            assert_terms(losses, row, FREE_RUN[row["iteration"]])
    found = synthesis.values().numpy()
    assert found.min() >= 0 and found.max() <= 1
    if synthesis.finished:
        assert np.abs(found - arrays(name)["images_float32"]).mean() <= TIMES * spread(name)


@pytest.mark.parametrize("name", ALL)
def test_bytes_are_truncated(name):
    stored = arrays(name)
    assert np.array_equal(as_bytes(stored["images_float32"]), stored["images_uint8"])


@pytest.mark.parametrize("name", ALL)
def test_names_of_the_files(name):
    assert sorted(told(name)["files"]) == [picture_name(class_id, 0) for class_id in range(10)]


def test_schedules():
    for name, content in told("schedules").items():
        assert name.startswith("schedule")
        recipe = RecoverRecipe(
            iterations=content["iterations"],
            learning_rate=content["base_lr"],
            curriculum=content["mode"],
            milestone=content["milestone"],
        )
        steps = range(content["iterations"])
        assert [smallest_scale(recipe, step) for step in steps] == content["min_scale"]
        assert [learning_rate(recipe, step) for step in steps] == content["lr"]


@pytest.mark.parametrize("name", ["tiny_64", "imagenet_64", "cda_cosine_64"])
def test_pixels_stay_within_the_bounds_of_the_data_set(name):
    recipe, stored = recipe_of(told(name)["config"]), arrays(name)["images_before_step_10"]
    for channel, (mean, deviation) in enumerate(zip(recipe.mean, recipe.deviation)):
        assert stored[:, channel].min() == np.float32(-mean / deviation)
        assert stored[:, channel].max() == np.float32((1 - mean) / deviation)
