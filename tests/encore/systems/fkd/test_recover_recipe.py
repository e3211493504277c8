"""The published values of recover, the names built from them, and the published command lines."""

import argparse
import dataclasses

import pytest

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.fkd.recover import flags
from encore.systems.fkd.recover.curriculum import smallest_scale
from encore.systems.fkd.recover.output import picture_name
from encore.systems.fkd.recover.recipe import PRESETS, RecoverRecipe

COLUMNS = (
    "iterations learning_rate r_bn first_bn_multiplier tv l2 jitter symmetric_roll batch images_per_class "
    "crop curriculum milestone size classes class_digits min_scale"
).split()
PUBLISHED = {
    "imagenet": [4000, 0.25, 0.01, 10, 0, 0, 32, False, 100, 50, True, None, 1, 224, 1000, 3, 0.08],
    "tiny": [4000, 0.1, 1, 10, 0, 0, 4, True, 100, 50, True, None, 1, 64, 200, 3, 0.08],
    "cifar100": [1000, 0.25, 0.01, 10, 0, 0, 4, False, 100, 50, False, None, 1, 32, 100, 3, 0.08],
    "cda_imagenet": [4000, 0.25, 0.01, 10, 0, 0, 32, False, 100, 50, True, "cosine", 1, 224, 1000, 3, 0.08],
    "cda_tiny": [4000, 0.4, 0.05, 10, 0, 0, 4, False, 100, 50, True, "cosine", 1, 64, 200, 3, 0.08],
    "cda_imagenet21k": [
        *[2000, 0.05, 0.25, 10, 0, 0, 32, False, 100, 20, True, "cosine", 1, 224, 10450, 5, 0.08],
    ],
}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TINY = ((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262))
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
NORMALISATION = {"tiny": TINY, "cda_tiny": TINY, "cifar100": CIFAR}
FLAG_DEFAULTS = {
    "--iteration": 1000,
    "--lr": 0.1,
    "--r-bn": 0.05,
    "--first-bn-multiplier": 10,
    "--tv-l2": 1e-4,
    "--l2-scale": 1e-5,
    "--jitter": 32,
    "--batch-size": 100,
    "--ipc-start": 0,
    "--ipc-end": 50,
    "--exp-name": "test",
    "--syn-data-path": "./syn_data",
    "--arch-name": "resnet18",
    "--verifier-arch": "mobilenet_v2",
    "--milestone": 0,
    "--easy2hard-mode": "cosine",
    "--ipc": 50,
    "--num-classes": 1000,
    "--print_period": 100,
    "--dist-url": "env://",
    "--dist-backend": "nccl",
}
SCRIPT = (
    "--arch-name resnet18 --exp-name rn18_bn0.01_[4K]_x_l2_x_tv.crop --batch-size 100 --lr 0.25 "
    "--iteration 4000 --l2-scale 0 --tv-l2 0 --r-bn 0.01 --verifier --store-best-images"
).split()


def parsed(words):
    return flags.typed(flags.add_recover_flags(argparse.ArgumentParser()).parse_args(words))


def test_presets_are_the_published_scripts():
    assert sorted(PRESETS) == sorted(PUBLISHED)
    for name, recipe in PRESETS.items():
        assert [getattr(recipe, column) for column in COLUMNS] == PUBLISHED[name], name
        assert (recipe.mean, recipe.deviation) == NORMALISATION.get(name, IMAGENET)
        assert (recipe.batching, recipe.ranks, recipe.flip) == ("slot", 1, 0.5)


def test_the_defaults_are_the_imagenet_script():
    assert RecoverRecipe() == PRESETS["imagenet"] == from_mapping(RecoverRecipe, {}, "here")


def test_published_defaults_of_the_flags():
    found = {flag.names[0]: flag.default for flag in flags.FLAGS}
    assert {name: found[name] for name in FLAG_DEFAULTS} == FLAG_DEFAULTS
    recipe = flags.preset("defaults")
    values = [recipe.iterations, recipe.learning_rate, recipe.r_bn, recipe.tv, recipe.l2, recipe.jitter]
    assert values == [1000, 0.1, 0.05, 1e-4, 1e-5, 32]


def test_the_published_folder_name_is_built_from_values():
    assert PRESETS["imagenet"].experiment_name("resnet18") == "rn18_bn0.01_[4K]_x_l2_x_tv.crop"
    recipe = dataclasses.replace(RecoverRecipe(), iterations=1500, tv=1e-4, l2=1e-5, crop=False, r_bn=1.0)
    assert recipe.experiment_name("resnet50") == "rn50_bn1_[1500]_1e-05_l2_0.0001_tv"


def test_names_of_pictures():
    assert picture_name(7, 12) == "new007/class007_id012.jpg"
    assert picture_name(999, 0) == "new999/class999_id000.jpg"
    assert picture_name(10449, 3, 5) == "new10449/class10449_id003.jpg"


def test_the_published_script_is_its_preset():
    chosen, warnings = parsed(SCRIPT)
    assert flags.with_flags(flags.preset("defaults"), chosen) == PRESETS["imagenet"]
    assert chosen["exp_name"] == PRESETS["imagenet"].experiment_name(chosen["arch_name"])
    assert [warning.split(":")[0] for warning in warnings] == ["--store-best-images", "--verifier"]


def test_every_published_flag_changes_its_value_or_is_warned_about():
    for flag in flags.FLAGS:
        value = {int: "7", float: "0.5", str: "word", None: None}[flag.kind]
        value = "linear" if flag.key == "curriculum" else value
        for name in flag.names:
            chosen, warnings = parsed([name] if value is None else [name, value])
            if flag.key is None:
                assert not chosen and len(warnings) == 1 and "accepted and ignored" in warnings[0]
                continue
            assert not warnings and str(chosen[flag.key]) == value
            if flag.key in flags.PLACES or flag.key == "ranks":
                continue
            changed = flags.with_flags(RecoverRecipe(), chosen)
            if flag.key == "ipc":
                assert (changed.images_per_class, changed.batching) == (7, "class")
            else:
                assert str(getattr(changed, flag.key)) == value


def test_flags_that_are_not_typed_change_nothing():
    assert parsed([]) == ({}, [])


def test_the_key_of_wandb_appears_nowhere():
    chosen, warnings = parsed(["--wandb-key", "secret"])
    assert not chosen and len(warnings) == 1 and "secret" not in warnings[0]


def test_a_range_beyond_the_recipe_makes_more_pictures():
    assert flags.with_flags(RecoverRecipe(), {"ipc_end": 200}).images_per_class == 200
    assert flags.with_flags(RecoverRecipe(), {"ipc_end": 10}).images_per_class == 50


def test_the_number_of_pictures_matters_by_class_only():
    more = RecoverRecipe(images_per_class=200)
    assert more.digest() == RecoverRecipe().digest()
    by_class = [RecoverRecipe(images_per_class=n, batching="class").digest() for n in (50, 200)]
    assert by_class[0] != by_class[1]
    assert RecoverRecipe(print_every=1, save_every=9, snapshots=(3,)).digest() == RecoverRecipe().digest()
    assert RecoverRecipe(jitter=31).digest() != RecoverRecipe().digest()
    assert RecoverRecipe(flip=0.0).digest() != RecoverRecipe().digest()


@pytest.mark.parametrize("curriculum", ["step", "linear", "cosine"])
def test_a_milestone_of_zero_is_no_curriculum(curriculum):
    recipe = RecoverRecipe(curriculum=curriculum, milestone=0.0, iterations=10)
    assert [smallest_scale(recipe, step) for step in range(10)] == [0.08] * 10


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(learning_rate=0), "learning_rate must be above 0"),
        (dict(classes=1001), "class_digits: 3 digits name 1000 classes, found 1001"),
        (dict(deviation=(0.2, 0.0, 0.2)), "deviation must be above 0"),
        (dict(min_scale=0), "min_scale must be above 0"),
        (dict(flip=1.5), "flip"),
        (dict(size=16), "jitter must not exceed size"),
        (dict(ranks=4), "only the batching by class"),
        (dict(curriculum="square"), "expected one of step, linear, cosine"),
        (dict(batch=0), "expected 1 to"),
        (dict(unknown=1), "unknown key"),
    ],
)
def test_values_that_cannot_be_are_refused(values, message):
    with pytest.raises(Refusal, match=message):
        from_mapping(RecoverRecipe, values, "here")
