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


PIPELINE = "predictions/isc_track1/all"


def lists(place, output=PIPELINE):
    folder = os.path.join(place, output)
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path) as file:
                found[os.path.relpath(path, folder)] = file.read().splitlines()
    return found


def record(place, name):
    with open(os.path.join(place, name)) as file:
        return json.load(file)


def test_all_lists_of_the_group_with_published_names(place, run):
    assert run("all") == (0, "")
    first = lists(place)
    assert set(first) == LISTS
    assert {len(lines) for lines in first.values()} == {41}
    assert {lines[0] for lines in first.values()} == {"query_id,reference_id,score"}
    assert record(place, "metrics/isc_track1/normalise/all.json") == {
        "lists": 3,
        "rows_min": 40,
        "rows_max": 40,
    }


def test_published_flags_describe_a_run_beside_the_pipeline(place, run):
    assert run("all") == (0, "")
    records = ["{}/isc_track1/normalise/all.json".format(kind) for kind in ("metrics", "fingerprints")]
    first, before = lists(place), [record(place, name) for name in records]
    # norms that were saved give the same lists
    assert run("all", "--norms", "norms", "--output", "saved") == (0, "")
    assert run("all", "--read_norms", "norms", "--output", "read") == (0, "")
    assert lists(place, "saved") == lists(place, "read") == first
    # other norms give other lists: beside the pipeline's, which stay
    for where, _, names in os.walk(os.path.join(place, "norms")):
        for name in names:
            path = os.path.join(where, name)
            np.save(path, np.load(path) + np.float32(1))
    assert run("all", "--read_norms", "norms", "--output", "read") == (0, "")
    assert set(lists(place, "read")) == LISTS and lists(place, "read") != first
    # flags override the file and are recorded
    flags = ("--max_results", "1_00", "--reduction", "min", "--n", "2", "--factor", "1")
    assert run("all", "--output", "by_flags", *flags) == (0, "")
    assert sorted(map(len, lists(place, "by_flags").values())) == [101, 101, 101]
    assert record(place, "fingerprints/isc_track1/normalise_by_hand/all.json")["parameters"] == {
        "factor": 1.0,
        "neighbours": 2,
        "reduction": "min",
        "max_results": 100,
    }
    assert lists(place) == first and [record(place, name) for name in records] == before


@pytest.mark.parametrize(
    "flag",
    ["--read_norms=norms", "--norms=norms", "--factor=1", "--n=2", "--reduction=min", "--max_results=9"],
)
def test_published_flags_need_a_folder_of_their_own(place, run, flag):
    before = lists(place)
    code, error = run("all", flag)
    assert code == 2 and error.count("\n") == 1
    assert error.startswith("encore: {}: published flags describe a run beside".format(flag.split("=")[0]))
    os.makedirs(os.path.join(place, "predictions/isc_track1"), exist_ok=True)
    link = os.path.join(place, "link")
    if not os.path.islink(link):
        os.symlink("predictions/isc_track1", link)
    for output in (PIPELINE, "predictions/isc_track1", os.path.join(place, PIPELINE, "more"), "link/all"):
        code, error = run("all", flag, "--output", output)
        assert code == 2 and "--output {}: predictions/isc_track1 is the pipeline's".format(output) in error
    code, error = run("all", "--norms", PIPELINE, "--output", "beside")
    assert code == 2 and "--norms {}: predictions/isc_track1 is".format(PIPELINE) in error
    assert lists(place) == before and not os.path.exists(os.path.join(place, "beside"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("baseline_CC-152",), "params.yaml: isc_track1.test.groups: group baseline_CC-152 is none of all"),
        (
            ("all", "--output", "x", "--reduction", "mean"),
            "published flags.reduction: expected one of avg, min",
        ),
        (
            ("all", "--output", "x", "--n", "10"),
            "at least 10 training descriptors for score normalisation, found 9",
        ),
        (("all", "--output", "x", "--read_norms", "nowhere"), "norms.npy"),
    ],
)
def test_refusals_are_one_line(place, run, arguments, message):
    before = lists(place)
    code, error = run(*arguments)
    assert code == 2 and message in error and error.count("\n") == 1
    assert lists(place) == before
