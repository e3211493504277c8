"""The stage `normalise` on descriptor files of random vectors."""

import json
import os
import sys

import numpy as np
import pytest

from encore.data.descriptors import chunk_path, write_descriptors
from encore.runtime.stage import run_stage
from stages.isc_track1 import normalise

PARAMETERS = """
isc_track1:
  test:
    tags: [baseline_CC]
    pair_tags: []
    backbones: ["50"]
    groups: [all]
    scales: [64, 48]
    multi_part_scale: 64
  normalise: {factor: 2.0, neighbours: 5, reduction: avg, max_results: 40}
"""
QUERIES = ["Q5000{}_{}".format(number, k) for number in range(3) for k in range(4)]
LISTS = {
    "final/V5_baseline_CC/50/predictions_dev_queries_50k_normalized_exp_VD.csv",
    "final_48/V5_baseline_CC/50/predictions_dev_queries_50k_normalized_exp_VD.csv",
    "final/V5_baseline_CC_ref/50/predictions_dev_queries_50k_normalized_exp.csv",
}


def write(folder, name, ids):
    vectors = np.random.RandomState(len(ids)).standard_normal((len(ids), 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    os.makedirs(folder, exist_ok=True)
    write_descriptors(chunk_path(os.path.join(folder, name), 0), vectors, ids)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("size"))
    references = ["R{:06d}".format(number) for number in range(20)]
    training = ["T{:06d}".format(number) for number in range(9)]
    for scale in ("64", "48"):
        folder = os.path.join(root, "descriptors/isc_track1/all/baseline_CC/50", scale)
        write(folder, "query_byol_VD_50k.hdf5", QUERIES)
        write(folder, "references_byol.hdf5", references)
        write(folder, "train_byol.hdf5", training)
    folder = os.path.join(root, "descriptors/isc_track1/all/baseline_CC_ref/50/64")
    write(folder, "query_byol.hdf5", ["Q50000", "Q50001", "Q50002"])
    write(
        folder, "references_byol_exp.hdf5", ["{}_{}".format(name, k) for name in references for k in (0, 1)]
    )
    write(folder, "train_byol.hdf5", training)
    os.makedirs(os.path.join(root, "data/isc_track1/queries"))
    for path, text in (
        ("params.yaml", PARAMETERS),
        ("data/isc_track1/queries/dev_queries_exp_VD", "\n".join(QUERIES)),
    ):
        with open(os.path.join(root, path), "w") as file:
            file.write(text)
    return root


@pytest.fixture
def run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.delenv("ENCORE_ENVIRONMENT", raising=False)

    def run(*arguments):
        """(exit status, what was written to the error stream) of the stage."""
        monkeypatch.setattr(sys, "argv", ["normalise"] + list(arguments))
        try:
            run_stage(normalise.main)
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


def lists(place):
    folder = os.path.join(place, "predictions/isc_track1/all")
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path) as file:
                found[os.path.relpath(path, folder)] = file.read().splitlines()
    return found


def test_all_lists_of_the_group_with_published_names_and_flags(place, run):
    assert run("all", "--norms", "norms") == (0, "")
    first = lists(place)
    assert set(first) == LISTS
    assert {len(lines) for lines in first.values()} == {41}
    assert {lines[0] for lines in first.values()} == {"query_id,reference_id,score"}
    with open(os.path.join(place, "metrics/isc_track1/normalise/all.json")) as file:
        assert json.load(file) == {"lists": 3, "rows_min": 40, "rows_max": 40}
    # norms that were saved give the same lists; flags override the file and are recorded
    assert run("all", "--read_norms", "norms") == (0, "")
    assert lists(place) == first
    assert run("all", "--max_results", "1_00", "--reduction", "min", "--n", "2", "--factor", "1") == (
        0,
        "",
    )
    assert sorted(map(len, lists(place).values())) == [101, 101, 101]
    with open(os.path.join(place, "fingerprints/isc_track1/normalise/all.json")) as file:
        assert json.load(file)["parameters"] == {
            "factor": 1.0,
            "neighbours": 2,
            "reduction": "min",
            "max_results": 100,
        }


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("baseline_CC-152",), "params.yaml: isc_track1.test.groups: group baseline_CC-152 is none of all"),
        (("all", "--reduction", "mean"), "published flags.reduction: expected one of avg, min"),
        (("all", "--n", "10"), "at least 10 training descriptors for score normalisation, found 9"),
        (("all", "--read_norms", "nowhere"), "norms.npy"),
    ],
)
def test_refusals_are_one_line(place, run, arguments, message):
    before = lists(place)
    code, error = run(*arguments)
    assert code == 2 and message in error and error.count("\n") == 1
    assert lists(place) == before
