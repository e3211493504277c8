"""The published command line of the relabel script, flag by flag."""

import argparse
import dataclasses

import pytest

from encore.runtime.published_flags import attribute
from encore.runtime.refusal import Refusal
from encore.systems.fkd.relabel import RelabelRecipe
from encore.systems.fkd.relabel_flags import FLAGS, add_relabel_flags, published_recipe, typed, with_defaults

PUBLISHED_DEFAULTS = {
    "data": None,
    "arch": "resnet18",
    "batch_size": 4,
    "workers": 4,
    "epochs": 300,
    "input_size": 224,
    "min_scale_crops": 0.08,
    "max_scale_crops": 1.0,
    "fkd_path": "./FKD_soft_label",
    "use_fp16": False,
    "mode": "fkd_save",
    "fkd_seed": 42,
    "mix_type": None,
    "mixup": 0.8,
    "cutmix": 1.0,
    "seed": None,
    "gpu": None,
    "world_size": -1,
    "rank": -1,
    "dist_url": None,  # published: an address
    "dist_backend": "nccl",
    "multiprocessing_distributed": False,
}
SCRIPT = (
    "-a resnet18 -b 1024 -j 8 --epochs 300 --input-size 224 --min-scale-crops 0.08 --max-scale-crops 1 "
    "--use-fp16 --fkd-path FKD_cutmix_fp16 --mode fkd_save --mix-type cutmix "
    "--data ../recover/syn_data/rn18_bn0.01_[4K]_x_l2_x_tv.crop"
)


def parsed(text):
    return typed(add_relabel_flags(argparse.ArgumentParser()).parse_args(text.split()))


def recipe(text, base=None):
    return published_recipe(base or RelabelRecipe(), parsed(text)[0])


def test_every_published_flag_is_there_with_its_default():
    assert {attribute(flag): flag.default for flag in FLAGS} == PUBLISHED_DEFAULTS


def test_the_published_script_is_the_recipe():
    chosen, warnings = parsed(SCRIPT)
    assert recipe(SCRIPT) == RelabelRecipe() and warnings == []
    assert chosen["images"].endswith("rn18_bn0.01_[4K]_x_l2_x_tv.crop")
    assert chosen["fkd_path"] == "FKD_cutmix_fp16"


def test_no_flag_means_the_published_defaults():
    base = RelabelRecipe(seed=3, flip=0.0, deviation=(0.5, 0.5, 0.5), top_k=2, temperature=4.0, epochs=1)
    expected = RelabelRecipe(
        seed=3, flip=0.0, deviation=(0.5, 0.5, 0.5), batch=4, workers=4, mix="none", half=False
    )
    assert recipe("", base) == expected
    assert with_defaults({"mode": "x"})["mode"] == "x" and None not in with_defaults({})


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("-b 64", "batch", 64),
        ("--batch-size 64", "batch", 64),
        ("-j 3", "workers", 3),
        ("--workers 3", "workers", 3),
        ("--epochs 20", "epochs", 20),
        ("--input-size 64", "size", 64),
        ("--min-scale-crops 0.5", "min_scale", 0.5),
        ("--max-scale-crops 0.5", "max_scale", 0.5),
        ("--use-fp16", "half", True),
        ("--fkd-seed 7", "sampler_seed", 7),
        ("--mix-type mixup", "mix", "mixup"),
        ("--mixup 0.5", "mixup", 0.5),
        ("--cutmix 0.5", "cutmix", 0.5),
        ("--seed 7", "seed", 7),
    ],
)
def test_each_flag_sets_its_value(text, name, value):
    found = recipe(text)
    assert getattr(found, name) == value
    assert dataclasses.replace(found, **{name: getattr(recipe(""), name)}) == recipe("")


def test_no_mixing_can_be_typed():
    assert recipe("--mix-type None") == recipe("")  # the published parser refuses it


def test_every_flag_is_a_value_a_place_or_warned_about():
    values = {int: " 7", float: " 0.5", str: " word", None: ""}
    fields = {field.name for field in dataclasses.fields(RelabelRecipe)}
    for flag in FLAGS:
        value = " cutmix" if flag.choices else values[flag.kind]
        for name in flag.names:
            chosen, warnings = parsed(name + value)
            if flag.key is None:
                assert not chosen and flag.names[-1] in warnings[0] and "ignored" in warnings[0]
            else:
                assert list(chosen) == [flag.key] and not warnings
                assert flag.key in fields or flag.key in ("images", "arch", "fkd_path", "mode")


@pytest.mark.parametrize("text", ["--mix-type both", "--epochs many"])
def test_what_no_flag_takes_is_an_error(text, capsys):
    with pytest.raises(SystemExit):
        parsed(text)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["--epochs 0", "-b 0", "-j -1", "--max-scale-crops 0.01", "--mix-type mixup --mixup 0"]
)
def test_values_out_of_range_are_refused(text):
    with pytest.raises(Refusal, match="^flags"):
        recipe(text)
