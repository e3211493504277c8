"""The stage that holds the drip's stages against each other and against a random kernel."""

import copy
import json
import sys

import pytest
import yaml

from encore.runtime.refusal import Refusal
from encore.systems.drip.record import CURVES, write_curves
from stages.drip import compare
from tests.measured_again import measured_again, write_numbers

SECTION = {
    "stages": {
        "first": {"from": "start", "n_facebook_samples": 40, "batch_size": 8},
        "second": {"from": "first", "n_facebook_samples": 80, "batch_size": 8},
        "without": {"from": "first", "n_facebook_samples": 80, "batch_size": 8, "kernel": "random"},
        "third": {"from": "second", "n_facebook_samples": 160, "batch_size": 8},
    },
    "inferred": ["first", "third"],
}
LOSSES = {"first": [25, 9, 2], "second": [3.5, 1.5], "without": [24.25, 12], "third": [2.75]}
VALUES = {"first": (0.25, 0.125, 0.3, 0.2), "third": (0.5, 0.25, 0.625, 0.1875)}


@pytest.fixture()
def size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare"])
    choose(tmp_path, SECTION)
    for name, losses in LOSSES.items():
        rows = ["{},0.5,{},0.001,{}\n".format(epoch, loss, loss / 2) for epoch, loss in enumerate(losses)]
        write(tmp_path / "plots/drip/train" / (name + ".csv"), "epoch,val_acc,trn_loss,lr,val_loss\n", *rows)
    keys = [prefix + key for prefix in ("", "normalised_") for key in ("average_precision", "recall_p90")]
    for name, values in VALUES.items():
        found = dict(zip(keys, values), queries=10)
        write_numbers(tmp_path / "evidence/drip/infer" / (name + ".npz"), dict(zip(keys, values)))
        write(tmp_path / "metrics/drip/infer" / (name + ".json"), json.dumps(found))
    return tmp_path


def write(path, *text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(text))


def choose(size, section):
    (size / "params.yaml").write_text(yaml.safe_dump({"drip": section}, sort_keys=False))


def changed(**stages):
    """SECTION with other values of some stages; None: the stage is left out."""
    section = copy.deepcopy(SECTION)
    for name, values in stages.items():
        section["stages"][name].update(values or {})
        if values is None:
            del section["stages"][name]
    return section


def metrics(size):
    compare.main()
    return json.loads((size / "metrics/drip/compare.json").read_text())


def test_what_the_centroids_spare_and_further_stages_bring(size):
    assert metrics(size) == {
        "centroid_first_epoch_loss": 3.5,
        "random_first_epoch_loss": 24.25,
        "drop": 24.25 - 3.5,
        "stages": 3,
        "epochs": 3 + 2 + 1,
        "trn_loss": 2.75,
        "val_loss": 1.375,
        "average_precision_gain": 0.25,
        "recall_p90_gain": 0.125,
        "normalised_average_precision_gain": 0.625 - 0.3,
        "normalised_recall_p90_gain": 0.1875 - 0.2,
        "normalisation_gain": 0.125,
    }
    again = measured_again("drip/compare")
    assert again == set(metrics(size)) - {"stages", "epochs", "trn_loss", "val_loss"}
    record = json.loads((size / "fingerprints/drip/compare.json").read_text())["parameters"]
    assert record["inferred"] == ["first", "third"] and record["stages"]["without"]["kernel"] == "random"


def test_epochs_count_on_and_the_control_stands_beside_its_stage(size):
    compare.main()
    assert (size / "plots/drip/stages.csv").read_text().splitlines() == [
        "stage,kernel,classes,epoch,total_epoch,trn_loss,val_loss",
        "first,random,40,0,0,25.0,12.5",
        "first,random,40,1,1,9.0,4.5",
        "first,random,40,2,2,2.0,1.0",
        "second,centroids,80,0,3,3.5,1.75",
        "second,centroids,80,1,4,1.5,0.75",
        "without,random,80,0,3,24.25,12.125",
        "without,random,80,1,4,12.0,6.0",
        "third,centroids,160,0,5,2.75,1.375",
    ]


def test_without_a_control_the_first_stage_with_centroids_stands_alone(size):
    choose(size, changed(without=None))
    found = metrics(size)
    assert found["centroid_first_epoch_loss"] == 3.5
    assert not {"random_first_epoch_loss", "drop"} & set(found)
    choose(size, dict(changed(without=None, second=None, third=None), inferred=["first"]))
    found = metrics(size)
    assert found["stages"] == 1 and "centroid_first_epoch_loss" not in found
    assert found["normalisation_gain"] == pytest.approx(0.05) and "average_precision_gain" not in found


@pytest.mark.parametrize(
    "values", [{"batch_size": 16}, {"n_imagenet_samples": 1}, {"qry_augs_intensity": 0.5}, {"from": "second"}]
)
def test_a_control_of_no_stage_is_refused(size, values):
    choose(size, changed(without=values))
    with pytest.raises(Refusal, match="params.yaml: drip.stages.without: kernel random is the control of"):
        compare.main()


def test_the_curves_are_those_that_the_training_writes(size):
    history = size / "history.jsonl"
    rows = [{"epoch": 0, "step": 4, "trn_loss_step": 9.0}]
    for epoch, loss in ((0, 4.5), (1, 3.25)):
        names = {name + "_epoch": 0.5 for name in CURVES}
        rows.append(dict(names, epoch=epoch, step=10, lr=0.001, trn_loss_epoch=loss, val_loss_epoch=2.0))
    history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_curves(history, size / "plots/drip/train/second.csv")
    assert compare.read_epochs("plots/drip/train/second.csv") == [(0, 4.5, 2.0), (1, 3.25, 2.0)]
    assert metrics(size)["drop"] == 24.25 - 4.5


def test_a_stage_that_ends_otherwise_is_still_controlled(size):
    choose(size, changed(without={"stop": {"max_epochs": 1}}))
    assert metrics(size)["drop"] == 24.25 - 3.5


def test_inference_without_normalisation_has_no_gain_of_it(size):
    for name in VALUES:
        found = {"average_precision": VALUES[name][0], "recall_p90": 0.5}
        write(size / "metrics/drip/infer" / (name + ".json"), json.dumps(found))
    found = metrics(size)
    assert found["average_precision_gain"] == 0.25 and found["recall_p90_gain"] == 0
    assert not [key for key in found if key.startswith("normalis")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch,trn_loss\n0,1\n", "second.csv: the column val_loss is missing"),
        ("", "second.csv: the column epoch is missing"),
        ("epoch,trn_loss,val_loss\n", r"expected the epochs from 0 on, found \[\]"),
        ("epoch,trn_loss,val_loss\n1,2,1\n", r"expected the epochs from 0 on, found \[1\]"),
        ("epoch,trn_loss,val_loss\n0,2,1\n0,2,1\n", r"expected the epochs from 0 on, found \[0, 0\]"),
        ("epoch,trn_loss,val_loss\n0,2,\n", "second.csv: line 2: expected an epoch and two finite losses"),
        ("epoch,trn_loss,val_loss\n0,2,1\n1,nan,1\n", "second.csv: line 3: .*finite losses"),
        ("epoch,trn_loss,val_loss\n0,2\n", "second.csv: line 2: .*finite losses"),
    ],
)
def test_curves_that_are_none_are_refused_by_file_and_line(size, text, said):
    write(size / "plots/drip/train/second.csv", text)
    with pytest.raises(Refusal, match=said):
        compare.main()
    assert not (size / "plots/drip/stages.csv").exists()


def test_what_has_not_run_is_named(size):
    (size / "metrics/drip/infer/third.json").unlink()
    with pytest.raises(Refusal, match="metrics/drip/infer/third.json: missing"):
        compare.main()
    (size / "plots/drip/train/without.csv").unlink()
    with pytest.raises(Refusal, match="plots/drip/train/without.csv: missing"):
        compare.main()
    choose(size, dict(SECTION, inferred=[]))
    with pytest.raises(Refusal, match=r"drip.inferred: expected names of stages, found \[\]"):
        compare.main()
