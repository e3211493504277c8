"""The published command line of the trainer, flag by flag."""

import argparse
import dataclasses

import pytest

from encore.runtime.published_flags import attribute
from encore.runtime.refusal import Refusal
from encore.systems.fkd.train_flags import FLAGS, add_train_flags, published_recipe, typed, with_flags
from encore.systems.fkd.train_recipe import StudentRecipe

PUBLISHED_DEFAULTS = {
    "batch_size": 1024,
    "gradient_accumulation_steps": 1,
    "start_epoch": 0,
    "epochs": 300,
    "workers": 16,
    "train_dir": None,
    "output_dir": "./save/1024",
    "cos": False,
    "sgd": False,
    "learning_rate": 1.024,
    "momentum": 0.875,
    "weight_decay": 3e-5,
    "adamw_lr": 0.001,
    "adamw_weight_decay": 0.01,
    "model": "resnet18",
    "keep_topk": 1000,
    "temperature": 3.0,
    "fkd_path": None,
    "wandb_project": "Temperature",
    "wandb_api_key": None,
    "mix_type": None,
    "fkd_seed": 42,
    "val_dir": None,  # published: a placeholder
}
SCRIPT = (
    "--wandb-project final_rn18_fkd --batch-size 1024 --model resnet18 --cos -j 4 "
    "--gradient-accumulation-steps 2 -T 20 --mix-type cutmix "
    "--output-dir ./save/final_rn18_fkd/rn18_[4K]_T20/ "
    "--train-dir ../recover/syn_data/rn18_bn0.01_[4K]_x_l2_x_tv.crop --val-dir /path/to/imagenet/val "
    "--fkd-path ../relabel/FKD_cutmix_fp16"
)


def parsed(text):
    return typed(add_train_flags(argparse.ArgumentParser()).parse_args(text.split()))


def recipe(text, base=None):
    return with_flags(published_recipe() if base is None else base, parsed(text))


def test_every_published_flag_is_there_with_its_default():
    assert {attribute(flag): flag.default for flag in FLAGS} == PUBLISHED_DEFAULTS


def test_the_published_script_is_the_recipe():
    found = recipe(SCRIPT)
    expected = StudentRecipe(wandb_project="final_rn18_fkd")
    assert found == expected
    chosen = parsed(SCRIPT)
    assert chosen["train_dir"].endswith("rn18_bn0.01_[4K]_x_l2_x_tv.crop")
    assert chosen["output_dir"].endswith("rn18_[4K]_T20/") and chosen["fkd_path"].endswith("cutmix_fp16")


def test_no_flag_means_the_published_defaults():
    found = published_recipe()
    assert (found.schedule, found.optimizer, found.temperature) == ("linear", "adamw", 3.0)
    assert (found.accumulation, found.workers, found.mix) == (1, 16, "none")
    assert found.keep_top_k is None  # published: the flag's 1000 is never used, with 10,450 classes neither


def test_only_what_is_typed_changes_the_recipe_of_a_parameter_file():
    base = StudentRecipe(batch=16, temperature=7.0)
    assert recipe("", base) == base
    assert recipe("--epochs 3", base) == dataclasses.replace(base, epochs=3)


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("--batch-size 64", "batch", 64),
        ("--gradient-accumulation-steps 4", "accumulation", 4),
        ("--start-epoch 2", "start_epoch", 2),
        ("--epochs 20", "epochs", 20),
        ("-j 3", "workers", 3),
        ("--workers 3", "workers", 3),
        ("--val-workers 9", "validation_workers", 9),
        ("--cos", "schedule", "cosine"),
        ("--sgd", "optimizer", "sgd"),
        ("--keep-topk 40", "keep_top_k", 40),
        ("--keep-topk 1000", "keep_top_k", 1000),
        ("-T 5", "temperature", 5.0),
        ("--temperature 5", "temperature", 5.0),
        ("--wandb-project p", "wandb_project", "p"),
        ("--wandb offline", "wandb", "offline"),
        ("--mix-type mixup", "mix", "mixup"),
        ("--mix-type None", "mix", "none"),
        ("--fkd_seed 7", "order_seed", 7),
        ("--fkd-seed 7", "order_seed", 7),
    ],
)
def test_each_flag_sets_its_value(text, name, value):
    found = recipe(text)
    assert getattr(found, name) == value
    assert dataclasses.replace(found, **{name: getattr(published_recipe(), name)}) == published_recipe()


@pytest.mark.parametrize(
    "text, group, name, value",
    [
        ("-lr 0.5", "sgd", "learning_rate", 0.5),
        ("--learning-rate 0.5", "sgd", "learning_rate", 0.5),
        ("--momentum 0.5", "sgd", "momentum", 0.5),
        ("--weight-decay 0.5", "sgd", "weight_decay", 0.5),
        ("--adamw-lr 0.5", "adamw", "learning_rate", 0.5),
        ("--adamw-weight-decay 0.5", "adamw", "weight_decay", 0.5),
    ],
)
def test_each_optimizer_has_flags_of_its_own(text, group, name, value):
    found = recipe(text)
    assert getattr(getattr(found, group), name) == value
    other = "adamw" if group == "sgd" else "sgd"
    assert getattr(found, other) == getattr(published_recipe(), other)


def test_hardware_advice_gives_way_to_a_typed_flag():
    found = recipe("--hardware 24gb")
    assert (found.workers, found.accumulation) == (4, 4)
    found = recipe("--hardware 40gb")
    assert (found.workers, found.accumulation) == (8, 1)
    found = recipe("--hardware 40gb -j 2")
    assert (found.workers, found.accumulation) == (2, 1)


def test_the_key_enters_no_recipe():
    found = recipe("--wandb-api-key planted")
    assert found == published_recipe() and "planted" not in str(found) + str(found.digest())


@pytest.mark.parametrize(
    "text", ["--mix-type both", "--hardware 8gb", "--epochs many"], ids=["mix", "hardware", "number"]
)
def test_what_no_flag_takes_is_an_error(text, capsys):
    with pytest.raises(SystemExit):
        parsed(text)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["--epochs 0", "-j -1", "--wandb maybe", "-T 0", "--momentum 2"])
def test_values_out_of_range_are_refused(text):
    with pytest.raises(Refusal):
        recipe(text)
