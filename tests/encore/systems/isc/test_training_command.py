import argparse
import os

import pytest

from encore.models.isc_network import IscShape
from encore.runtime.refusal import Refusal
from encore.systems.isc.flags import add_published_flags, overrides
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.training_command import training_command

PUBLISHED = (
    "-ds isc_100k_256 -a resnet50 --margin 0.0 --num-instances 4 -b 128 -j 8 --warmup-step 5 --lr 0.00035 "
    "--iters 8000 --epochs 25 --data-dir /dev/shm/ --logs-dir logs/baseline/50 --height 256 --width 256"
)
NARROW = TrainingRecipe(
    shape=IscShape((1, 1, 1, 1), 8, 64, 128, 32),
    batch=32,
    epochs=2,
    iterations=3,
    height=32,
    width=32,
    learning_rate=0.1,
    workers=0,
)


def command(line, recipe=NARROW):
    chosen, warnings = overrides(add_published_flags(argparse.ArgumentParser()).parse_args(line.split()))
    return training_command(recipe, chosen, "data/isc_100k_256"), warnings


def test_the_published_line_means_the_published_recipe():
    run, warnings = command(PUBLISHED)
    assert run.recipe.shape.layers == (3, 4, 6, 3) and run.recipe.shape.width == 64
    published = TrainingRecipe(shape=run.recipe.shape)
    assert run.recipe == published
    assert (run.data, run.logs) == ("/dev/shm/isc_100k_256", "logs/baseline/50")
    assert len(warnings) == 1 and warnings[0].startswith("--warmup-step 5: accepted and ignored")


def test_without_flags_the_parameters_stand():
    run, warnings = command("")
    assert (run.recipe, run.data, run.logs, run.resume, run.auto_resume, warnings) == (
        NARROW,
        "data/isc_100k_256",
        None,
        None,
        False,
        [],
    )


def test_margin_resume_and_nested_folder(tmp_path):
    os.makedirs(str(tmp_path / "isc_100k_256" / "isc_100k_256"))
    run, _ = command("--margin 0.5 --resume a.pth.tar --auto_resume --data-dir {}".format(tmp_path))
    assert run.recipe.loss.margin == 0.5
    assert (run.resume, run.auto_resume) == ("a.pth.tar", True)
    assert run.data == str(tmp_path / "isc_100k_256" / "isc_100k_256")


@pytest.mark.parametrize(
    "line, message",
    [
        ("-ds randperson", "-ds randperson: expected isc_100k_256"),
        ("-a resnet152", "-a resnet152: expected resnet50"),
    ],
)
def test_other_data_sets_and_backbones_are_refused(line, message):
    with pytest.raises(Refusal, match=message):
        command(line)
