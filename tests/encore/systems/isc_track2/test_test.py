import math

import numpy as np
import pytest

from encore.data.descriptors import Submission, read_submission, write_submission
from encore.metrics.definitions import ISC2021
from encore.metrics.predictions import read_evaluation, write_ground_truth
from encore.runtime.refusal import Refusal
from encore.search.stretching import Stretching
from encore.systems.isc_track2.test import PUBLISHED, EvaluationRecipe, evaluate, make_submission, multi_scale
from tests.golden_files import golden

QUERIES = ["Q{:05d}".format(50000 + number) for number in range(40)]
REFERENCES = ["R{:06d}".format(number) for number in range(300)]


@pytest.fixture(scope="module")
def published():
    with np.load(str(golden("isc/track2_descriptors.npz"))) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def submission(published):
    def at_all_scales(side, ids):
        return multi_scale(
            [(ids, published["in/{}_{}".format(side, scale)]) for scale in (200, 256, 320, 400)]
        )

    training = at_all_scales("train", ["T{:06d}".format(number) for number in range(300)])
    return make_submission(at_all_scales("query", QUERIES), at_all_scales("references", REFERENCES), training)


def test_the_whole_chain_equals_the_published_one(published, submission, tmp_path):
    assert np.abs(submission.query - published["stretched/avg-2.5"]).max() < 1e-5
    assert np.abs(submission.reference - published["multi_scale/references"]).max() < 1e-5
    write_ground_truth(tmp_path / "truth.csv", QUERIES, REFERENCES[:20] + [""] * 20)
    result = evaluate(submission, tmp_path / "truth.csv")
    found = dict(
        zip(zip(result.pairs.query.tolist(), result.pairs.reference.tolist()), result.pairs.score.tolist())
    )
    expected = {(int(query), int(reference)): score for query, reference, score in published["l2_top20000"]}
    assert found.keys() == expected.keys()  # 40 x 300 pairs are fewer than 500,000: all of them
    assert max(abs(found[pair] - expected[pair]) for pair in expected) < 1e-5


def test_metrics_come_from_the_pairs_by_both_definitions(submission, tmp_path):
    side = submission.query.astype(np.float64)[:, None] - submission.reference.astype(np.float64)
    distances = (side**2).sum(2)
    # labelled: queries 10 to 39; matched: 10 to 29, every other one to its ninth nearest picture, so found
    # late
    true = {row: row if row % 2 else int(np.argsort(distances[row])[8]) for row in range(10, 30)}
    write_ground_truth(
        tmp_path / "truth.csv",
        QUERIES[10:],
        [REFERENCES[true[row]] if row in true else "" for row in range(10, 40)],
    )
    result = evaluate(submission, tmp_path / "truth.csv")
    flat = sorted(
        (distance, row, column) for row, line in enumerate(distances) for column, distance in enumerate(line)
    )

    def score(pairs):
        """(micro average precision, recall at precision 0.9) by the definition."""
        found, area, recall = 0, 0.0, None
        for rank, (_, row, column) in enumerate(pairs, 1):
            if true.get(row) == column:
                found += 1
                area += found / rank / 20
            if found / rank >= 0.9:
                recall = found / 20
        return area, recall

    micro_ap, recall = score(flat)
    assert result.metrics["micro_ap_isc2021"] == pytest.approx(micro_ap, abs=1e-12)
    assert result.metrics.get("recall_at_p90_isc2021") == recall
    # the platform looks at the 30 labelled queries only, and at 10 results for each of them
    micro_ap, recall = score([pair for pair in flat if pair[1] >= 10][:300])
    assert micro_ap != score([pair for pair in flat[:300] if pair[1] >= 10])[0]
    assert result.metrics["micro_ap_platform"] == pytest.approx(micro_ap, abs=1e-12)
    assert result.metrics["recall_at_p90_platform"] == (recall or 0.0)
    assert result.metrics["micro_ap_platform"] != result.metrics["micro_ap_isc2021"]
    ranks = np.array([(distances[row] < distances[row, true[row]]).sum() for row in true])
    assert result.metrics["recall_at_1"] == (ranks < 1).mean()
    assert result.metrics["recall_at_10"] == (ranks < 10).mean()
    counts = {
        key: result.metrics[key]
        for key in ("queries", "references", "labelled_queries", "true_pairs", "predictions")
    }
    assert counts == {
        "queries": 40,
        "references": 300,
        "labelled_queries": 30,
        "true_pairs": 20,
        "predictions": 12000,
    }
    assert all(isinstance(value, (int, float)) and math.isfinite(value) for value in result.metrics.values())


def test_when_all_queries_are_labelled_the_platform_takes_the_best_ten_each(submission, tmp_path):
    write_ground_truth(tmp_path / "all.csv", QUERIES, REFERENCES[:40])
    every = evaluate(submission, tmp_path / "all.csv")
    write_ground_truth(tmp_path / "some.csv", QUERIES[:39], REFERENCES[:39])
    without_last = Submission(submission.query[:39], submission.reference, QUERIES[:39], REFERENCES)
    searched_again = evaluate(submission, tmp_path / "some.csv").metrics["micro_ap_platform"]
    assert searched_again == evaluate(without_last, tmp_path / "some.csv").metrics["micro_ap_platform"]
    first = [(row, column) for row, column in zip(every.pairs.query[:400], every.pairs.reference[:400])]
    area = (
        sum(
            (sum(row == column for row, column in first[:rank]) / rank)
            for rank in range(1, 401)
            if first[rank - 1][0] == first[rank - 1][1]
        )
        / 40
    )
    assert every.metrics["micro_ap_platform"] == pytest.approx(area, abs=1e-12)


def test_written_predictions_score_the_same(submission, tmp_path):
    write_ground_truth(tmp_path / "truth.csv", QUERIES, REFERENCES[:20] + [""] * 20)
    result = evaluate(submission, tmp_path / "truth.csv")
    result.write_predictions(tmp_path / "predictions.csv")
    predictions, truth, ids = read_evaluation(tmp_path / "predictions.csv", tmp_path / "truth.csv")
    assert ISC2021.evaluate(predictions, truth).micro_ap == result.metrics["micro_ap_isc2021"]
    again = result.evidence().measure()
    again.update(result.sizes().measure())
    assert (
        len(again) >= 7
        and {key: dict(result.metrics, dimension=submission.query.shape[1]).get(key) for key in again}
        == again
    )
    assert set(ids.references.names) == set(REFERENCES)
    result.write_curve(tmp_path / "curve.csv")
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert lines[0] == "recall,precision"
    points = [tuple(map(float, line.split(","))) for line in lines[1:]]
    assert points == list(zip(*(column.tolist() for column in result.curve)))
    assert points[-1][0] == 1.0  # all pairs were searched: every true one is there


def test_a_submission_file_evaluates_as_the_submission(submission, tmp_path):
    write_ground_truth(tmp_path / "truth.csv", QUERIES, REFERENCES[:40])
    write_submission(tmp_path / "submission.h5", submission)
    assert (
        evaluate(read_submission(tmp_path / "submission.h5"), tmp_path / "truth.csv").metrics
        == evaluate(submission, tmp_path / "truth.csv").metrics
    )


def test_nearest_neighbours_of_each_query_instead_of_the_best_of_all(submission, tmp_path):
    write_ground_truth(tmp_path / "truth.csv", QUERIES, REFERENCES[:40])
    result = evaluate(submission, tmp_path / "truth.csv", EvaluationRecipe(search="knn", neighbours=3))
    assert result.metrics["predictions"] == 40 * 3
    assert np.bincount(result.pairs.query).tolist() == [3] * 40
    assert (np.diff(result.pairs.score) <= 0).all()


def test_precision_never_reached_leaves_the_official_recall_out(tmp_path):
    # the only true pair is the last of two: precision 1/2 at best
    submission = Submission(
        np.array([[1.0, 0]], np.float32), np.array([[1, 0], [0, 1]], np.float32), ["Q"], ["R", "S"]
    )
    write_ground_truth(tmp_path / "truth.csv", ["Q"], ["S"])
    metrics = evaluate(submission, tmp_path / "truth.csv").metrics
    assert "recall_at_p90_isc2021" not in metrics and "threshold_at_p90_isc2021" not in metrics
    assert (metrics["recall_at_p90_platform"], metrics["micro_ap_isc2021"]) == (0.0, 0.5)


def test_published_values():
    assert PUBLISHED == EvaluationRecipe(Stretching(5, -2.5, "avg"), "capped")


def test_refusals(submission, tmp_path):
    with pytest.raises(Refusal, match="same pictures in the same order"):
        multi_scale([(["a"], np.ones((1, 2))), (["b"], np.ones((1, 2)))])
    with pytest.raises(Refusal, match="training descriptors"):
        make_submission((["Q"], np.ones((1, 2))), (["R"], np.ones((1, 2))))
    with pytest.raises(Refusal, match="search"):
        EvaluationRecipe(search="radius")
    with pytest.raises(Refusal, match="neighbours"):
        EvaluationRecipe(neighbours=0)
    for query, reference, message in (
        ("Q1", REFERENCES[0], "truth.csv: .*every query, found none of Q1"),
        (QUERIES[0], "R9", "truth.csv: .*every reference, found none of R9"),
        (QUERIES[0], "", "at least one true pair"),
    ):
        write_ground_truth(tmp_path / "truth.csv", [query], [reference])
        with pytest.raises(Refusal, match=message):
            evaluate(submission, tmp_path / "truth.csv")


def test_without_stretching_queries_stay(tmp_path):
    query = np.array([[0.6, 0.8]], np.float32)
    made = make_submission((["Q"], query), (["R"], query), recipe=EvaluationRecipe(stretching=None))
    assert np.array_equal(made.query, query)
