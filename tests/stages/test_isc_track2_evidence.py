"""The stages that test and compare: what their evidence gives again."""

import sys

import numpy as np
import pytest
import yaml

from encore.data.descriptors import write_descriptors
from encore.metrics.predictions import write_ground_truth
from stages.isc_track2 import compare, test
from tests.measured_again import measured_again

PARAMETERS = {"ground_truth": "truth.csv", "scales": [32, 48], "search": "capped", "neighbours": 3}
COUNTS = {"queries": (20, 10), "references": (15, 25), "training": (12,)}
"""Descriptors of each set, chunk by chunk."""


@pytest.fixture()
def size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = {"isc_track2": {"test": dict(PARAMETERS, stretching={"neighbours": 2, "factor": -2.5})}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters))
    queries = ["Q{:05d}".format(number) for number in range(30)]
    write_ground_truth("truth.csv", queries, ["R{:06d}".format(row) if row % 2 else "" for row in range(30)])
    for seed, (model, noise) in enumerate((("trained", 0.2), ("untrained", 3.0))):
        draws = np.random.RandomState(seed)
        bases = draws.randn(40, 8)
        for scale in PARAMETERS["scales"]:
            write_sets(tmp_path / "descriptors/isc_track2" / model, scale, bases, noise, draws)
    return tmp_path


def write_sets(folder, scale, bases, noise, draws):
    folder.mkdir(parents=True, exist_ok=True)
    for name, chunks in COUNTS.items():
        first = 0
        for number, count in enumerate(chunks):
            rows = bases[first : first + count] + (noise if name == "queries" else 0.0) * draws.randn(
                count, 8
            )
            rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            letter, digits = {"queries": ("Q", 5), "references": ("R", 6), "training": ("T", 6)}[name]
            names = ["{}{:0{}d}".format(letter, row, digits) for row in range(first, first + count)]
            write_descriptors(str(folder / "{}_{}_{}.hdf5".format(name, number, scale)), rows, names)
            first += count


def run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__] + list(arguments))
    module.main()


def test_tests_and_their_difference_are_measured_again(size, monkeypatch):
    for model in ("trained", "untrained"):
        run(monkeypatch, test, model)
        assert measured_again("isc_track2/test/" + model) >= {"queries", "references", "dimension"}
    run(monkeypatch, compare)
    assert "micro_ap_isc2021_gain" in measured_again("isc_track2/compare")


def test_a_descriptor_that_is_not_finite_is_not_counted():
    from encore.systems.isc_track2.test import _finite

    vectors = np.ones((2500, 3), np.float32)
    vectors[1200, 1] = np.nan
    assert _finite(vectors).tolist() == [1000, 999, 500]
