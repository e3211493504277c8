"""The 36 runs: what each trains on, from which weights, with which values, what its command line takes."""

import argparse
import dataclasses
import os
import pickle

import pytest
import torch

from encore.models.isc_network import IscNetwork
from encore.models.resnet import ResNet
from encore.runtime.refusal import Refusal
from encore.systems.isc.flags import add_published_flags, overrides
from encore.systems.isc.recipe import TrainingRecipe
from encore.systems.isc.training import train
from encore.systems.isc.training_command import training_command
from encore.systems.isc_track1.backbones import BACKBONES, weights_name
from encore.systems.isc_track1.data_sets import BASELINE_PAIR, DATA_SETS
from encore.systems.isc_track1.runs import PUBLISHED_SHAPES, run_of
from encore.training import checkpoint
from encore.training.optimizer_state import adam
from tests.encore.in_memory_set import InMemorySet

PUBLISHED = """
isc_track1:
  networks:
    resnet50: {layers: [3, 4, 6, 3], matrix: null}
    resnet152: {layers: [3, 8, 36, 3], matrix: null}
    resnet_ibn50a: {layers: [3, 4, 6, 3], matrix: null, ibn: true}
  train: {}
  train_pairs: {iterations: 800}
"""
TINY = """
isc_track1:
  networks:
    resnet50: &n {layers: [1, 1, 1, 1], width: 2, hidden: 16, embedding: 32, matrix: null}
    resnet152: {layers: [1, 2, 1, 1], width: 2, hidden: 16, embedding: 32, matrix: null}
    resnet_ibn50a: {layers: [1, 1, 1, 1], width: 2, hidden: 16, embedding: 32, matrix: null, ibn: true}
  train: {seed: 7, height: 32, width: 32, pad: 2, batch: 32, learning_rate: 0.01, epochs: 2, iterations: 3,
          schedule: [1, 2, 3], print_every: 1, workers: 0, keep_checkpoints: last}
  train_pairs: {iterations: 2}
"""
LINE = (
    "-ds {} -a {} --margin 0.0 --num-instances 4 -b 128 -j 8 --warmup-step 5 --lr 0.00035 --iters {} "
    "--epochs 25 --data-dir /dev/shm/ --logs-dir logs --height 256 --width 256"
)
GROUPS = ["all"]
RUNS = [run_of(d.tag, b.name) for d in DATA_SETS for b in BACKBONES]
PAIRS = [run_of(BASELINE_PAIR, b.name) for b in BACKBONES]


@pytest.fixture
def published(tmp_path):
    (tmp_path / "params.yaml").write_text(PUBLISHED)
    return str(tmp_path / "params.yaml")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "params.yaml")


def command(run, recipe, line):
    arguments = add_published_flags(argparse.ArgumentParser()).parse_args(line.split())
    chosen, warnings = overrides(arguments, run.script.ignored)
    return training_command(recipe, chosen, run.job(GROUPS).data, run.script), warnings


def test_there_are_33_and_3_runs_with_seeds_of_their_own(published):
    assert len(RUNS) == 33 and len(PAIRS) == 3
    recipes = [run.recipe(published) for run in RUNS + PAIRS]
    assert len({recipe.seed for recipe in recipes}) == 36
    assert (
        len({run.job(GROUPS).output for run in RUNS + PAIRS})
        == len({run.job(GROUPS).curves for run in RUNS + PAIRS})
        == 36
    )


def test_one_run_by_hand():
    job = run_of("face_BW", "ibn").job(["face_BW-ibn"])
    assert (job.data, job.start, job.output) == (
        "data/isc_track1/training/face_BW",
        "models/isc_track1/start/ibn/unsupervised_pretrained_m2t_ibn.pkl",
        "models/isc_track1/logs/face_BW/ibn",
    )
    assert (job.item, job.curves) == ("face_BW-ibn", "plots/isc_track1/loss/face_BW-ibn.csv")
    assert job.stripped == "models/isc_track1/stripped/face_BW-ibn/face_bw_ibn.pth.tar"
    assert run_of("color_CC", "50").job(GROUPS).start == "models/isc_track1/start/50/resnet50_bar.pth"
    assert run_of("baseline_CC_pair", "152").job(GROUPS).data == "data/isc_track1/training/baseline_CC_pair"


@pytest.mark.parametrize("run", RUNS[:3] + PAIRS, ids=lambda run: run.job(GROUPS).item)
def test_the_published_lines_mean_the_published_recipes(run, published):
    """The common arguments of the 36 launch scripts, on the parameters of the published size."""
    recipe = run.recipe(published)
    changes = dict(plain=True, iterations=800) if run.pair else {}
    expected = TrainingRecipe(
        seed=recipe.seed, system="isc_track1", shape=PUBLISHED_SHAPES[run.backbone.arch], **changes
    )
    assert recipe == expected
    line = LINE.format(run.data_set, run.backbone.arch, 800 if run.pair else 8000)
    meant, warnings = command(run, recipe, line)
    assert meant.recipe == recipe and meant.data == "/dev/shm/" + run.data_set
    assert [warning.split(":")[0] for warning in warnings] == ["--warmup-step 5"]


def test_resume_is_ignored_by_the_main_script_and_honoured_for_pairs(published):
    meant, warnings = command(RUNS[0], RUNS[0].recipe(published), "--resume a.pth.tar --auto_resume")
    assert meant.resume is None and meant.auto_resume
    assert warnings == ["--resume a.pth.tar: accepted and ignored, as by the published script"]
    meant, warnings = command(PAIRS[0], PAIRS[0].recipe(published), "--resume a.pth.tar")
    assert meant.resume == "a.pth.tar" and warnings == []


@pytest.mark.parametrize(
    "line, message",
    [
        ("-ds isc_100k_256_big_bw", "-ds isc_100k_256_big_bw: expected isc_100k_256_big$"),
        ("-ds pairs", "-ds pairs: expected isc_100k_256_big"),
        ("-a resnet152", "-a resnet152: expected resnet50"),
        ("-a resnet18", "-a resnet18: expected resnet50"),
    ],
)
def test_flags_that_contradict_the_run_are_refused(line, message, published):
    with pytest.raises(Refusal, match=message):
        command(RUNS[0], RUNS[0].recipe(published), line)


@pytest.mark.parametrize(
    "tag, backbone, message",
    [
        ("baseline", "50", "baseline: expected one of baseline_CC"),
        ("baseline_CC", "101", "backbone 101: expected one of 50, 152, ibn"),
        ("blur_CC_pair", "50", "the only pair models are baseline_CC_pair"),
    ],
)
def test_other_runs_are_refused(tag, backbone, message):
    with pytest.raises(Refusal, match=message):
        run_of(tag, backbone)


def test_a_matrix_head_and_a_shape_in_the_wrong_section_are_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PUBLISHED.replace("{layers: [3, 8, 36, 3], matrix: null}", "{layers: [3, 8, 36, 3]}"))
    RUNS[0].recipe(str(path))
    with pytest.raises(Refusal, match="isc_track1.networks.resnet152.matrix: expected null, found 256"):
        RUNS[1].recipe(str(path))
    path.write_text(PUBLISHED.replace("train: {}", "train: {shape: {width: 8}}"))
    with pytest.raises(Refusal, match="isc_track1.train.shape: .* belongs in isc_track1.networks"):
        RUNS[0].recipe(str(path))


@pytest.mark.parametrize(
    "arch, groups, tensors, stripped",
    [("resnet50", 171, 337, 333), ("resnet152", 477, 949, 945), ("resnet_ibn50a", 197, 363, 359)],
)
def test_tensors_and_parameter_groups_of_the_published_networks(arch, groups, tensors, stripped):
    narrow = dataclasses.replace(PUBLISHED_SHAPES[arch], width=2, hidden=4, embedding=8)
    network = IscNetwork(narrow, classes=4)
    assert len(adam(network, 0.1).param_groups) == groups
    state = network.state_dict()
    assert (len(state), len(checkpoint.strip(state))) == (tensors, stripped)


def test_names_of_the_stripped_weights():
    assert weights_name("baseline_CC", "50") == "baseline_cc_50.pth.tar"
    assert weights_name("color_BW", "ibn") == "color_bw_ibn.pth.tar"
    assert weights_name("baseline_CC_pair", "50") == "baseline_cc_50_pair.pth.tar"
    assert len({weights_name(run.tag, run.backbone.name) for run in RUNS + PAIRS}) == 36


def trained(run, path):
    """Train one tiny run from start weights in its published form -> the Trained."""
    recipe, start = run.recipe(path), run.job(GROUPS).start
    os.makedirs(os.path.dirname(start), exist_ok=True)
    torch.manual_seed(3)
    state = ResNet(recipe.shape.layers, 2, classes=None, ibn=recipe.shape.ibn).state_dict()
    if start.endswith(".pth"):
        torch.save(state, start)
    else:
        with open(start, "wb") as file:
            pickle.dump({"model": state, "__author__": "WENHAO", "matching_heuristics": True}, file)
    return train(recipe, InMemorySet(16, 2 if run.pair else 6), start, run.logs, device="cpu")


def test_every_kind_of_run_trains_from_its_start_weights(tiny):
    runs = [run_of("baseline_CC", name) for name in ("50", "152", "ibn")] + [run_of(BASELINE_PAIR, "ibn")]
    for run in runs:
        done = trained(run, tiny)
        assert done.steps == (4 if run.pair else 6) and done.classes == 16
        assert done.start_weights.missing == done.start_weights.unused == ()
        assert [name for name in os.listdir(run.logs) if "checkpoint" in name] == ["checkpoint_1.pth.tar"]
