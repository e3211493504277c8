"""The value of a submission file, refusals, and the ladder."""

import json

import numpy as np
import pytest

from encore.metrics.reported import write_curve
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.evaluation import evaluate_submission
from encore.systems.isc_track1.ladder import ladder, single_model, write_ladder
from encore.systems.isc_track1.numbered_truth import read_numbered_truth
from encore.systems.isc_track1.penalty import Penalty
from encore.systems.isc_track1.submission import PARTS
from tests.encore.metrics.test_definitions import PREDICTION_ROWS, PUBLISHED, TRUTH_ROWS
from tests.encore.systems.isc_track1 import literal_fusion
from tests.encore.systems.isc_track1.test_final_rule import score_list

TRUTH = "query_id,reference_id\nQ50001,R000001\nQ50002,R000002\nQ50003,R000003\nQ50004,R000004\nQ50005,\n"
# the worked example of spec isc-track1-test 5
SUBMISSION = (
    "query_id,reference_id,score\nQ50001,R000001,0.9\nQ50001,R000002,0.8\nQ50002,R000002,0.7\n"
    "Q50003,R000009,0.7\nQ50003,R000003,0.6\nQ50005,R000005,0.5\n"
)
ALL = range(50000, 100000)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "truth.csv").write_text(TRUTH)
    (tmp_path / "submission.csv").write_text(SUBMISSION)
    return tmp_path


def test_the_worked_example(files):
    value = evaluate_submission(files / "submission.csv", files / "truth.csv")
    assert value.metrics == {
        "micro_ap_isc2021": pytest.approx(0.525, abs=1e-15),
        "micro_ap_platform": pytest.approx(0.525, abs=1e-15),
        "recall_at_p90_isc2021": 0.25,
        "threshold_at_p90_isc2021": 0.9,
        "recall_at_p90_platform": 0.25,
        "recall_at_1": 0.5,
        "recall_at_10": 0.75,
        "labelled_queries": 5,
        "true_pairs": 4,
        "predictions": 6,
    }
    write_curve(files / "curve.csv", value.curve)
    assert (files / "curve.csv").read_text().splitlines()[:3] == ["recall,precision", "0.25,1.0", "0.5,0.5"]
    truth = read_numbered_truth(files / "truth.csv", ALL)
    predictions = score_list(
        [(q, r, float(s)) for q, r, s in (line.split(",") for line in SUBMISSION.splitlines()[1:])]
    )
    assert single_model(predictions, Penalty(), truth.micro_ap) == pytest.approx(0.525, abs=1e-15)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: "set{}".format(published["set"]))
def test_published_sets_are_valued_as_published(tmp_path, published):
    (tmp_path / "predictions.csv").write_text("".join(PREDICTION_ROWS[published["set"]]))
    (tmp_path / "truth.csv").write_text("".join(TRUTH_ROWS[published["set"]]))
    if not PREDICTION_ROWS[published["set"]]:
        with pytest.raises(Refusal, match="at least one prediction"):
            evaluate_submission(tmp_path / "predictions.csv", tmp_path / "truth.csv", drop_unlabelled=True)
        return
    metrics = evaluate_submission(tmp_path / "predictions.csv", tmp_path / "truth.csv", True).metrics
    platform = published["platform"]
    assert metrics["micro_ap_platform"] == pytest.approx(platform["average_precision"], abs=1e-12)
    assert metrics["recall_at_p90_platform"] == pytest.approx(platform["recall_p90"], abs=1e-12)


def test_a_query_without_label_is_refused_or_dropped(files):
    path = files / "more.csv"
    path.write_text(SUBMISSION + "Q50009,R000001,0.95\n")
    with pytest.raises(Refusal) as refusal:
        evaluate_submission(path, files / "truth.csv")
    assert "more.csv: row 7: the query Q50009 is not in" in str(refusal.value)
    dropped = evaluate_submission(path, files / "truth.csv", drop_unlabelled=True).metrics
    assert dropped == evaluate_submission(files / "submission.csv", files / "truth.csv").metrics
    rows = score_list([("Q50001_0", "R000001", 0.5), ("Q50009_3", "R000001", 0.5)])
    with pytest.raises(Refusal, match="list: line 2: the query Q50009_3 is not in .*truth.csv"):
        read_numbered_truth(files / "truth.csv", ALL).check(rows)
    lenient = read_numbered_truth(files / "truth.csv", ALL, drop_unlabelled=True)
    lenient.check(rows)
    kept = rows.select(np.array([True, False]))
    assert single_model(rows, Penalty(), lenient.micro_ap) == single_model(kept, Penalty(), lenient.micro_ap)
    assert single_model(rows, Penalty(), lenient.micro_ap) == 0.25


def test_a_submission_with_too_many_rows_is_refused_by_row(files):
    path = files / "long.csv"
    path.write_text("".join("Q50001,R{:06d},0.1\n".format(i) for i in range(500001)))
    with pytest.raises(Refusal, match="long.csv: row 500001: a submission has at most 500000 rows"):
        evaluate_submission(path, files / "truth.csv")


def test_a_pair_twice_is_refused(files):
    (files / "twice.csv").write_text(SUBMISSION + "Q50001,R000001,0.3\n")
    with pytest.raises(Refusal, match="Predictions contains duplicates"):
        evaluate_submission(files / "twice.csv", files / "truth.csv")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Q49999,R000001", "line 3: the query Q49999 is none of this test's, Q50000 to Q99999"),
        ("Q5000,R000001", "line 3: expected an id of Q and 5 digits, found 'Q5000'"),
        ("Q50000,T000001", "line 3: expected an id of R and 6 digits, found 'T000001'"),
        ("Q50000_0,R000001", "line 3: expected an id of Q and 5 digits, found 'Q50000_0'"),
    ],
)
def test_a_ground_truth_of_other_pictures_is_refused_by_line(tmp_path, row, said):
    (tmp_path / "truth.csv").write_text("query_id,reference_id\nQ50001,R000001\n" + row + "\n")
    with pytest.raises(Refusal) as refusal:
        read_numbered_truth(tmp_path / "truth.csv", ALL)
    assert "truth.csv: " + said in str(refusal.value)


def test_a_ground_truth_without_pairs_is_refused(tmp_path):
    (tmp_path / "truth.csv").write_text("Q50001,\n")
    with pytest.raises(Refusal, match="truth.csv: expected at least one true pair"):
        read_numbered_truth(tmp_path / "truth.csv", ALL)


def test_every_step_of_the_ladder_takes_one_list_more(files):
    random = np.random.RandomState(5)
    pairs = [("Q5000{}".format(q), "R00000{}".format(r)) for q in range(1, 6) for r in range(1, 6)]

    def rows(part):
        chosen = random.permutation(len(pairs))[:15]
        return [(pairs[i][0] + part, pairs[i][1], round(random.random_sample(), 6)) for i in chosen]

    lists = {"baseline_CC": rows("_0"), PARTS: rows(""), "blur_CC": rows("_0"), "u_CC": rows("_1")}
    truth = read_numbered_truth(files / "truth.csv", ALL)
    found = ladder({name: score_list(lists[name]) for name in lists}, Penalty(), truth.micro_ap)
    assert list(found) == ["ensemble_of_backbones", "with_multi_part", "ladder_blur_CC", "ladder_u_CC"]
    true = {tuple(line.split(",")) for line in TRUTH.splitlines()[1:5]}
    used = []
    for name, step in zip(lists, found):
        used += lists[name]
        right, area = 0, 0.0
        scores = literal_fusion.closed_form(used)
        for rank, row in enumerate(literal_fusion.submission(scores, 500000), 1):
            right += row[:2] in true
            area += (row[:2] in true) * right / rank / 4.0
        assert found[step] == pytest.approx(area, abs=1e-12)
    assert len(set(found.values())) > 1
    write_ladder(files / "ladder.csv", found)
    lines = (files / "ladder.csv").read_text().splitlines()
    assert lines[0] == "step,micro_ap"
    assert {line.split(",")[0]: json.loads(line.split(",")[1]) for line in lines[1:]} == found


def test_a_single_model_is_reduced_by_maximum(files):
    """Q50001 finds a wrong one at .9 and .1 (maximum first, mean of both second), Q50002 its own at .6."""
    rows = score_list(
        [("Q50001_0", "R000009", 0.9), ("Q50001_1", "R000009", 0.1), ("Q50002_1", "R000002", 0.6)]
    )
    micro_ap = read_numbered_truth(files / "truth.csv", ALL).micro_ap
    assert single_model(rows, Penalty(), micro_ap) == 0.5 / 4
    assert list(ladder({"baseline_CC": rows}, Penalty(), micro_ap).values()) == [1.0 / 4]
