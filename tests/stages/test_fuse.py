"""The stage over the golden lists: from files in a working directory to submissions, metrics and plots."""

import json
import os

import numpy as np
import pytest
import yaml

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.data_sets import DATA_SETS
from encore.systems.isc_track1.evaluation import evaluate_submission
from stages.isc_track1 import fuse
from tests.encore.systems.isc_track1.test_fusion_golden import EXPECTED, extracted, rows
from tests.golden_files import golden
from tests.measured_again import measured_again

PAIR_LIST = "V5_baseline_CC_pair/V5-baseline-CC-234-50k-VD-pair.csv"
LIST = "predictions_dev_queries_50k_normalized_exp_VD.csv"
TAGS = [data_set.tag for data_set in DATA_SETS]


@pytest.fixture
def size(tmp_path, monkeypatch):
    """A working directory as the stages before leave it; returns a function that runs `fuse` there."""
    monkeypatch.chdir(tmp_path)
    folder = extracted("fusion_in.tar.gz", "predictions/isc_track1/all")
    with open(os.path.join(folder, "final", PAIR_LIST)) as file:
        pairs = dict((tuple(line.split(",")[:2]), line) for line in file.read().splitlines()[1:])
    for backbone in (
        "50",
        "152",
        "ibn",
    ):  # three lists that agree: their vote has the pairs of the golden one
        os.makedirs(os.path.join(folder, "final", "V5_baseline_CC_pair", backbone))
        with open(os.path.join(folder, "final", "V5_baseline_CC_pair", backbone, LIST), "w") as file:
            file.write("query_id,reference_id,score\n" + "\n".join(pairs.values()) + "\n")
    lists = json.loads(golden("isc/fusion_lists.json").read_text())
    os.makedirs("data/queries")
    for side in (100, 150, 200):
        name = "query_wrong_{}_VD".format(side)
        np.save("data/queries/{}.npy".format(name), np.array(lists[name]))
    np.save("data/queries/face_del.npy", np.array(lists["face_del"]))
    submitted = [line.split(",") for line in EXPECTED["submit_50k.csv"].splitlines()[1:]]
    queries = {
        line.split(",")[0].split("_")[0] for text in EXPECTED.values() for line in text.splitlines()[1:]
    }
    queries |= {name.split("_")[0] for name in lists["query_sizes"]}
    truth = {query: "" for query in queries}
    truth.update({row[0]: row[1] for row in submitted[::7]})
    with open("truth.csv", "w") as file:
        file.write(
            "query_id,reference_id\n" + "".join("{},{}\n".format(*row) for row in sorted(truth.items()))
        )
    values = {
        "test": {
            "tags": TAGS,
            "pair_tags": ["baseline_CC_pair"],
            "backbones": ["50", "152", "ibn"],
            "groups": ["all"],
            "scales": [256, 200, 320],
            "multi_part_scale": 256,
        },
        "fuse": {
            "ground_truth": "truth.csv",
            "faces": "data/queries",
            "queries": "data/queries",
            "first_query": 50000,
            "query_count": 50000,
            "penalty": 0.05,
            "unpenalised_crops": 20,
            "max_results": 500000,
            "intermediate": False,
        },
    }

    def run(**changes):
        for key, value in changes.items():
            values["test" if key in values["test"] else "fuse"][key] = value
        with open("params.yaml", "w") as file:
            yaml.safe_dump({"isc_track1": values}, file)
        monkeypatch.setattr("sys.argv", ["fuse"])
        fuse.main()
        with open("metrics/isc_track1/fuse.json") as file:
            return json.load(file)

    return run


def written():
    return {
        os.path.relpath(os.path.join(place, name), "submission/isc_track1")
        for place, _, names in os.walk("submission/isc_track1")
        for name in names
    }


def check_rows(name):
    with open(os.path.join("submission/isc_track1", name)) as file:
        ids, scores = rows(file.read())
    expected_ids, expected = rows(EXPECTED[name])
    assert ids == expected_ids and np.abs(scores - expected).max() < 1e-9


def test_submissions_metrics_ladder_and_curve(size):
    metrics = size()
    assert written() == {"submit_50k.csv", "submit_50k_choice2.csv"}
    check_rows("submit_50k.csv")
    value = evaluate_submission("submission/isc_track1/submit_50k.csv", "truth.csv").metrics
    assert {key: metrics[key] for key in value} == value and 0 < value["micro_ap_isc2021"] < 1
    assert metrics["all_scales"] == metrics["micro_ap_isc2021"]
    second = evaluate_submission("submission/isc_track1/submit_50k_choice2.csv", "truth.csv").metrics
    assert metrics["with_pairs"] == pytest.approx(second["micro_ap_isc2021"], abs=1e-15)
    assert metrics["rows"] == len(EXPECTED["256_320_200_50k.csv"].splitlines()) - 1
    with open("plots/isc_track1/ladder.csv") as file:
        steps = [line.strip().split(",") for line in file]
    assert [step[0] for step in steps] == (
        ["step", "single_model_original_queries", "single_model", "ensemble_of_backbones", "with_multi_part"]
        + ["ladder_" + tag for tag in TAGS[1:]]
        + ["all_scales", "with_pairs"]
    )
    assert all(metrics[step] == float(value) for step, value in steps[1:])
    assert metrics["single_model"] == metrics["single_model_50"] != metrics["single_model_ibn"]
    again = measured_again("isc_track1/fuse")
    assert again >= {"micro_ap_isc2021", "micro_ap_platform", "recall_at_1", "with_pairs", "models"}
    assert again >= {"single_model", "single_model_ibn", "ladder_" + TAGS[1], "multi_part_gain"}
    with open("plots/isc_track1/precision_recall.csv") as file:
        assert file.readline() == "recall,precision\n" and len(file.readlines()) > 2
    assert not [name for name in os.listdir(".work/isc_track1.fuse") if name != "lock"]


def test_all_published_files_on_request(size):
    size(intermediate=True)
    assert written() >= set(EXPECTED) | {"final/" + PAIR_LIST}
    for name in set(EXPECTED) - {"submit_50k_choice2.csv"}:
        check_rows(name)


def test_only_the_tags_of_the_plan_take_part(size):
    metrics = size(tags=["face_CC", "baseline_CC"], pair_tags=[], scales=[256], intermediate=True)
    assert not os.path.exists("submission/isc_track1/submit_50k_choice2.csv") and "with_pairs" not in metrics
    assert written() == {
        "final/V5-baseline-CC-234-50k-VD.csv",
        "final/V5-face-CC-234-50k-VD.csv",
        "final/R-baseline-CC-234-50k.csv",
        "final/step_11_50k.csv",
        "256_50k.csv",
        "256_50k_agg.csv",
        "final_50k.csv",
        "final_50k_agg.csv",
        "submit_50k.csv",
    }
    assert metrics["ladder_face_CC"] == metrics["all_scales"]


def test_each_list_is_that_of_its_model_s_group(size):
    reference = size(tags=["baseline_CC"], pair_tags=[], scales=[256])
    for backbone in ("50", "152", "ibn"):
        for folder in ("V5_baseline_CC", "V5_baseline_CC_ref"):
            group = "predictions/isc_track1/baseline_CC-{}/final/{}/".format(backbone, folder)
            os.makedirs(group)
            os.rename("predictions/isc_track1/all/final/{}/{}".format(folder, backbone), group + backbone)
    assert size(groups=["baseline_CC-50", "baseline_CC-152", "baseline_CC-ibn"]) == reference


def test_fewer_results_than_there_are_pairs(size):
    assert size(max_results=20)["predictions"] == 20
    with open("submission/isc_track1/submit_50k.csv") as file:
        scores = [float(line.split(",")[2]) for line in file.readlines()[1:]]
    published = sorted((float(row.split(",")[2]) for row in EXPECTED["submit_50k.csv"].splitlines()[1:]))
    assert scores == pytest.approx(published[::-1][:20], abs=1e-9)


def refused(run, **changes):
    with pytest.raises(Refusal) as refusal:
        run(**changes)
    assert not os.path.exists("submission/isc_track1") and "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbones": ["50", "152"]}, "backbones: ibn is missing: the vote needs V5_<tag>/ibn/" + LIST),
        ({"tags": ["blur_CC"]}, "tags: baseline_CC is missing"),
        (
            {"first_query": 0, "query_count": 50000},
            "truth.csv: line 2: the query Q50000 is none of this test's",
        ),
        ({"penalty": 0.0000005}, "at most six decimals"),
        ({"max_results": 500001}, "max_results: expected 1 to 500000, found 500001"),
        ({"faces": "data"}, "data/face_del.npy: missing"),
        ({"unlabelled": "keep"}, "unlabelled: expected one of refuse, drop"),
    ],
)
def test_parameters_that_cannot_work_are_refused(size, changes, said):
    assert said in refused(size, **changes)


def test_a_missing_list_is_refused_by_name(size):
    path = "predictions/isc_track1/all/final_320/V5_u_CC/ibn/" + LIST
    os.remove(path)
    assert refused(size).startswith(path + ": missing")


def test_a_query_that_the_truth_does_not_name_is_refused_by_file_and_line(size):
    with open("truth.csv") as file:
        lines = file.readlines()
    with open("truth.csv", "w") as file:
        file.writelines(line for line in lines if not line.startswith("Q50003"))
    assert "the query Q50003" in refused(size) and "_ref/" in refused(size) and ": line " in refused(size)
    assert 0 < size(unlabelled="drop")["micro_ap_platform"] < 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (np.array([["Q50000_1"]]), "expected a one-dimensional array of text"),
        (np.arange(3), "expected a one-dimensional array of text"),
        (np.array(["Q50000_1", "Q5_1"]), "row 2: expected an id like Q10000 or Q10000_13"),
    ],
)
def test_a_list_of_small_queries_that_is_none_is_refused(size, names, said):
    np.save("data/queries/query_wrong_150_VD.npy", names)
    assert "query_wrong_150_VD.npy: " + said in refused(size)


def test_lists_that_are_no_numpy_files_or_empty(size):
    with open("data/queries/face_del.npy", "wb") as file:
        file.write(b"not numpy")
    assert "face_del.npy: not a list of ids" in refused(size)
    np.save("data/queries/face_del.npy", np.array([], dtype="U7"))
    assert size(tags=["baseline_CC"], pair_tags=[], scales=[256])["rows"] > 0
