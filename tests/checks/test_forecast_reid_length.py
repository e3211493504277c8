"""The length of runs of persons in the forecast, against the rule that ends them."""

from __future__ import annotations

import dataclasses
import tarfile

import pytest
import yaml

from checks.forecast.identities import identities_of
from checks.forecast.reid_length import length_of
from checks.raw_data.inputs import read_inputs
from checks.size import PROJECT
from encore.systems.reid.params_json import params_from
from encore.systems.reid.stop_rule import StopRule

MARKET = (12936, 751)
"""Training pictures and identities of Market-1501."""


def runs_of(size):
    section = yaml.safe_load((PROJECT / size / "params.yaml").read_text(encoding="utf-8"))["reid"]
    return {**section["runs"], **section["students"]}


def mini():
    """Training pictures and identities of the mini run, by the names in its tar."""
    with tarfile.open(PROJECT / "mini" / "reid.tar") as tar:
        names = [member.name for member in tar if member.isfile() and "bounding_box_train/" in member.name]
    return len(names), len({name.rpartition("/")[2][:4] for name in names})


def rule_of(run, pictures, identities):
    params, _ = params_from(run, "run")
    of_epoch = identities // params.batch_sampling_params.P if params.pk else -(-pictures // params.batch)
    return StopRule(params, of_epoch)


@pytest.mark.parametrize(("size", "counts"), [(".", MARKET), ("mini", mini())])
def test_runs_are_as_long_as_the_rule_says(size, counts):
    for name, run in runs_of(size).items():
        assert length_of(run, *counts).iterations == rule_of(run, *counts).iterations, name


VARIED = [
    {"encore": {"state": state, **most}, "batch_sampling_params": {"class_balanced": balanced}, **margin}
    for state in "SH"
    for most in ({}, {"max_iterations": 7}, {"max_iterations": 10**9})
    for balanced in (False, True)
    for margin in ({}, {"tri_loss_params": {"margin": 0.3}}, {"tri_loss_params": {"margin": 0}})
]


@pytest.mark.parametrize("varied", VARIED)
def test_every_kind_of_run_is_as_long_as_the_rule_says(varied):
    shipped = dict(runs_of(".")["plain" if varied["encore"]["state"] == "S" else "pcb_global"])
    if varied["encore"]["state"] == "S":
        shipped["lr"] = {"decay_step": 2001}
    run = {**shipped, "epochs": 11, **varied, "encore": {**shipped["encore"], **varied["encore"]}}
    assert length_of(run, *MARKET).iterations == rule_of(run, *MARKET).iterations


def test_a_run_without_the_key_has_the_shipped_epochs_and_warm_up():
    run = {key: value for key, value in runs_of(".")["pcb_global"].items() if key != "epochs"}
    assert length_of(run, *MARKET).iterations == rule_of(run, *MARKET).iterations == 4020 * 203


def test_the_rest_of_an_epoch_is_a_smaller_batch():
    run = runs_of(".")["plain"]  # 202 batches of 64 and one of 8
    assert length_of(run, *MARKET).pictures == 30 * 12936
    cut = {**run, "encore": {**run["encore"], "max_iterations": 205}}
    assert length_of(cut, *MARKET).pictures == 12936 + 2 * 64


def test_identities_are_stated_or_counted_or_not_known(tmp_path):
    stated = read_inputs(PROJECT / "inputs.yaml")["reid_training"]
    assert identities_of(tmp_path, stated) == MARKET[1]
    counted = read_inputs(PROJECT / "mini" / "inputs.yaml")["reid_training"]
    assert identities_of(PROJECT / "mini", counted) == mini()[1]
    assert identities_of(tmp_path, counted) is None
    assert identities_of(PROJECT / "mini", dataclasses.replace(counted, names=("*",))) is None
