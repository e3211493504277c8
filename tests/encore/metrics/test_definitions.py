import csv
import gzip
import json
from collections import defaultdict

import numpy as np
import pytest

from encore.metrics.definitions import DEFINITIONS, ISC2021, PLATFORM
from encore.metrics.pairs import Predictions
from encore.metrics.predictions import PairIds, read_ground_truth, read_predictions
from encore.metrics.recall_at_rank import ranks_of_true_pairs, recall_at_rank
from encore.runtime.refusal import Refusal
from tests.encore.metrics.test_micro_ap import as_predictions, as_truth
from tests.golden_files import golden

PUBLISHED = json.loads(golden("isc/metrics.json").read_text())


def rows_by_set(name):
    rows = defaultdict(list)
    with gzip.open(str(golden(name)), "rt", newline="") as file:
        for row in list(csv.reader(file))[1:]:
            rows[int(row[0])].append(",".join(row[1:]) + "\n")
    return rows


PREDICTION_ROWS = rows_by_set("isc/metrics_predictions.csv.gz")
TRUTH_ROWS = rows_by_set("isc/metrics_ground_truth.csv.gz")


@pytest.fixture(params=PUBLISHED, ids=lambda published: "set{}".format(published["set"]))
def published_set(request, tmp_path):
    """(published values, Predictions, GroundTruth) of one of the 20 sets, read from CSV files."""
    (tmp_path / "predictions.csv").write_text("".join(PREDICTION_ROWS[request.param["set"]]))
    (tmp_path / "truth.csv").write_text("".join(TRUTH_ROWS[request.param["set"]]))
    ids = PairIds()
    predictions = read_predictions(tmp_path / "predictions.csv", ids)
    truth = read_ground_truth(tmp_path / "truth.csv", ids)
    assert (len(predictions), len(truth)) == (request.param["n_pred"], request.param["n_gt"])
    return request.param, predictions, truth


def same(value, expected):
    return value is None if expected is None else value == pytest.approx(expected, abs=1e-12)


def test_isc2021_equals_the_official_package(published_set):
    published, predictions, truth = published_set
    evaluation = ISC2021.evaluate(predictions, truth)
    assert same(evaluation.micro_ap, published["isc2021"]["uAP"])
    assert same(evaluation.recall_at_p90, published["isc2021"]["recall_p90"])
    assert same(evaluation.threshold_at_p90, published["isc2021"]["threshold_p90"])
    ranks = ranks_of_true_pairs(predictions, truth)
    assert same(recall_at_rank(ranks, 1), published["isc2021"]["recall_at_1"])
    assert same(recall_at_rank(ranks, 10), published["isc2021"]["recall_at_10"])


def test_platform_equals_the_platform_script(published_set):
    published, predictions, truth = published_set
    if "error" in published["platform"]:
        with pytest.raises(Refusal, match="at least one prediction"):
            PLATFORM.evaluate(predictions, truth)
    else:
        evaluation = PLATFORM.evaluate(predictions, truth)
        assert same(evaluation.micro_ap, published["platform"]["average_precision"])
        assert same(evaluation.recall_at_p90, published["platform"]["recall_p90"])


def test_the_definitions_differ_on_unlabelled_queries_and_unreached_precision():
    # predictions 9-1 (9 is not labelled), 1-1 right, 2-5 wrong; N = 4. isc2021: the right one has rank 2:
    # 1/2 / 4 = 0.125, precision never reaches .9. platform: rank 1: 1/1 / 4 = 0.25, recall 0.25 at precision
    # 1.
    predictions = as_predictions({(9, 1): 0.95, (1, 1): 0.9, (2, 5): 0.1})
    truth = as_truth([(1, 1), (2, 2), (3, 3), (4, 4)])
    assert (
        ISC2021.evaluate(predictions, truth).micro_ap,
        ISC2021.evaluate(predictions, truth).recall_at_p90,
    ) == (0.125, None)
    assert (
        PLATFORM.evaluate(predictions, truth).micro_ap,
        PLATFORM.evaluate(predictions, truth).recall_at_p90,
    ) == (0.25, 0.25)
    wrong = as_predictions({(1, 5): 1.0})
    assert PLATFORM.evaluate(wrong, truth).recall_at_p90 == 0.0
    assert ISC2021.evaluate(wrong, truth).recall_at_p90 is None


def test_repeated_true_pairs():
    predictions, truth = as_predictions({(1, 1): 0.5}), as_truth([(1, 1), (1, 1)])
    assert ISC2021.evaluate(predictions, truth).micro_ap == 0.5
    assert PLATFORM.evaluate(predictions, truth).micro_ap == 1.0


def test_isc2021_refuses_repeated_predictions_and_the_platform_counts_them():
    # platform, N = 2: both copies of 1-1 count as found: (1/1 + 2/2) / 2
    predictions = Predictions([1, 3, 1], [1, 1, 1], [0.9, 0.1, 0.8])
    truth = as_truth([(1, 1), (2, 2)])
    with pytest.raises(Refusal, match=r"^Predictions contains duplicates\..*predictions 1 and 3"):
        ISC2021.evaluate(predictions, truth)
    assert PLATFORM.evaluate(predictions, truth).micro_ap == 1.0


def test_isc2021_takes_half_a_million_predictions_and_not_one_more():
    rows = np.arange(500001)
    truth = as_truth([(0, 0)])
    assert ISC2021.evaluate(Predictions(rows[1:], rows[1:], -rows[1:].astype(float)), truth).micro_ap == 0.0
    with pytest.raises(Refusal, match=r"too many predictions \(500001 > 500000\)"):
        ISC2021.evaluate(Predictions(rows, rows, -rows.astype(float)), truth)


def test_search_results_of_the_descriptor_track():
    # the small public set has 4,991 labelled queries: 49,910 pairs
    truth = as_truth([(0, 0)], labelled=range(4991))
    assert PLATFORM.search_results(truth) == 49910
    assert ISC2021.search_results(truth) == 500000


def test_claims_find_definitions_by_name():
    assert DEFINITIONS == {"isc2021": ISC2021, "platform": PLATFORM}
