"""The kinds of evidence but ranked pairs: hand-worked, changed, and resampled the long way."""

import numpy as np
import pytest

from encore.metrics.detection_ap import average_precisions
from encore.metrics.evidence.boxes import Boxes
from encore.metrics.evidence.classified_pictures import ClassifiedPictures
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.feature_pairs import FeaturePairs
from encore.metrics.evidence.loss_curves import LossCurves
from encore.metrics.evidence.person_rankings import OrderKeeper, PersonRankings
from encore.metrics.evidence.reading import read_evidence
from encore.metrics.evidence.resampling import resampled
from encore.metrics.person_ranking import PROTOCOLS, market_ranking, named_metrics
from encore.runtime.refusal import Refusal

DRAWS = 25


@pytest.fixture
def read(tmp_path):
    """A function that writes a part to a file and reads that."""

    def through(part):
        EvidenceFile(part).write(tmp_path / "evidence.npz")
        return read_evidence(tmp_path / "evidence.npz")

    return through


def broken(part, **entries):
    """`part` with other arrays than it makes."""
    return type("Part", (), {"kind": part.kind, "arrays": lambda self: dict(part.arrays(), **entries)})()


# --- classified pictures


def classified(first=(2, 0, 1, 2)):
    # of four pictures the first three are right, the last has its class among the five
    five = np.array([[2, 0], [0, 1], [1, 2], [2, 1]])
    return ClassifiedPictures(np.array([2, 0, 1, 1]), np.array(first), five)


def test_hits_in_percent(read):
    assert read(classified()).measure() == {"top1": 75.0, "top5": 100.0}


def test_another_answer_is_another_accuracy(read):
    assert read(classified(first=(2, 1, 1, 2))).measure() == {"top1": 50.0, "top5": 100.0}


def test_pictures_are_resampled_with_their_hits(read):
    found = read(classified()).bootstrap(DRAWS, 1)
    expected = [100.0 * np.mean(np.array([1, 1, 1, 0])[drawn]) for drawn in resampled(4, DRAWS, 1)]
    np.testing.assert_allclose(found["top1"], expected, rtol=1e-14)
    assert len(set(expected)) > 1 and set(found["top5"]) == {100.0}


def test_rows_that_are_fewer_than_the_pictures_are_refused(read):
    with pytest.raises(Refusal, match="classified pictures: five: expected a row for each of 4"):
        read(broken(classified(), five=np.array([[1, 2]])))


# --- persons


class Side:
    def __init__(self, labels, cameras):
        self.labels, self.cameras = np.array(labels), np.array(cameras)


QUERY = Side([1, 2, 3], [1, 1, 1])
GALLERY = Side([1, 2, 1, 0, -1, 1], [2, 2, 2, 2, 2, 1])
SCORES = np.array(
    [[0.9, 0.8, 0.7, 0.6, 1.0, 0.99], [0.5, 0.4, 0.3, 0.2, 1.0, 0.1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]],
    dtype=np.float32,
)


def persons(scores=SCORES, query=QUERY, gallery=GALLERY):
    keeper = OrderKeeper()
    keeper.add("", scores[:1])
    keeper.add("", scores[1:])
    keeper.add("reranked_", -scores.astype(np.float64))
    return PersonRankings.of(query, gallery, keeper)


def test_hand_worked_persons(read):
    found = read(persons()).measure()
    # Query 1, without junk (label -1, own camera): right, wrong, right, background. At places 1 and 3 the
    # precisions are 1 and 2/3, before them 1 and 1/2: trapezoid (2 + 7/6) / 4 = 19/24, step (1 + 2/3) / 2.
    # Query 2: one is ahead of its right one: trapezoid (1/2 + 0) / 2, step 1/2. Query 3 has no right one.
    assert found["mAP"] == pytest.approx((19 / 24 + 1 / 4) / 3)
    assert found["torchreid_mAP"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert found["rank1"] == pytest.approx(1 / 3) and found["torchreid_rank1"] == 0.5
    counts = {"queries": 3, "left_out": 1, "gallery": 5, "junk": 1, "distractors": 1}
    assert {key: found[key] for key in counts} == counts
    assert found["reranked_mAP"] < found["mAP"]


def test_another_order_is_another_precision(read):
    scores = SCORES.copy()
    scores[1, 1] = 0.55  # now ahead of all others
    assert read(persons(scores)).measure()["torchreid_mAP"] == pytest.approx((5 / 6 + 1) / 2)


def random_persons(number, queries=9, pictures=30):
    draws = np.random.RandomState(number)
    sides = [
        Side(draws.randint(-1 if count == pictures else 0, 4, count), draws.randint(1, 4, count))
        for count in (queries, pictures)
    ]
    return sides, draws.randint(0, 12, (queries, pictures)).astype(np.float32) / 12  # with ties


@pytest.mark.parametrize("number", range(4))
def test_any_persons_are_measured_as_by_the_metric_itself(read, number):
    (query, gallery), scores = random_persons(number)
    part = persons(scores, query, gallery)
    found = read(part).measure()
    for protocol in PROTOCOLS:
        ranking = market_ranking(
            scores, query.labels, query.cameras, gallery.labels, gallery.cameras, protocol
        )
        expected = named_metrics("", ranking)
        assert {key: found[key] for key in expected} == expected


def test_persons_are_resampled_with_their_whole_ranking(read):
    (query, gallery), scores = random_persons(7)
    found = read(persons(scores, query, gallery)).bootstrap(DRAWS, 2)
    for draw, drawn in enumerate(resampled(len(scores), DRAWS, 2)):
        for protocol in PROTOCOLS:
            ranking = market_ranking(
                scores[drawn],
                query.labels[drawn],
                query.cameras[drawn],
                gallery.labels,
                gallery.cameras,
                protocol,
            )
            for key, value in named_metrics("", ranking).items():
                assert found[key][draw] == pytest.approx(value, abs=1e-14, nan_ok=True)


def test_a_table_of_another_shape_is_refused(read):
    with pytest.raises(Refusal, match="order/0: expected 3 queries by 6 pictures, found"):
        read(broken(persons(), **{"order/0": np.zeros((2, 6), dtype=np.int64)}))


# --- boxes


def box(left, confidence=None, kind=0):
    return [left, 0, left + 10, 10] + ([] if confidence is None else [confidence]) + [kind]


def boxes(first=0.9):
    # of the test of the metric: by confidence right, wrong, right, right, wrong: 0.625
    truth = [np.array([box(0), box(100)], float), np.array([box(0)], float), np.array([box(0)], float)]
    found = [
        np.array([box(0, first), box(50, 0.8), box(101, 0.6)], np.float32),
        np.array([box(1, 0.7), box(0, 0.3, 1)], np.float32),
        np.array([box(40, 0.5)], np.float32),
    ]
    return Boxes(tuple(truth), tuple(found), ("Overlay", "Emoji"))


def test_hand_worked_boxes(read):
    # no true box is of the second class, which then has no average precision
    expected = {"average_precision_overlay": 0.625, "average_precision": 0.625, "validation_images": 3}
    assert read(boxes()).measure() == expected


def test_another_confidence_is_another_precision(read):
    # wrong, right, right, wrong, right: 2/3 at 1/4 and 2/4, 3/5 at 3/4
    assert read(boxes(first=0.05)).measure()["average_precision"] == pytest.approx(
        (2 / 3 + 2 / 3 + 3 / 5) / 4
    )


def test_pictures_are_resampled_with_their_boxes(read):
    draws = np.random.RandomState(5)
    truth, found = [], []
    for _ in range(8):
        lefts, kinds = 20 * np.arange(4), draws.randint(0, 2, 4)
        truth.append(np.array([box(left, None, kind) for left, kind in zip(lefts, kinds)], float))
        shifts = draws.choice([0, 1, 9], 4)
        rows = [box(left + shift, draws.rand(), kind) for left, shift, kind in zip(lefts, shifts, kinds)]
        found.append(np.array(rows, np.float32))
    drawn_values = read(Boxes(tuple(truth), tuple(found), ("a", "b"))).bootstrap(DRAWS, 0)
    for draw, drawn in enumerate(resampled(8, DRAWS, 0)):
        by_class = average_precisions([truth[i] for i in drawn], [found[i] for i in drawn], [0, 1])
        assert drawn_values["average_precision_a"][draw] == pytest.approx(by_class[0], abs=1e-14)
        mean = np.mean(list(by_class.values()))
        assert drawn_values["average_precision"][draw] == pytest.approx(mean, abs=1e-14)


def test_boxes_that_their_counts_do_not_add_up_to_are_refused(read):
    with pytest.raises(Refusal, match="boxes: found: expected 4 entries, found 6"):
        read(broken(boxes(), found_count=np.array([3, 1, 0])))


# --- counts, losses, features


def test_counts_are_added_and_classes_without_a_picture_do_not_count(read):
    found = read(Counts.of_labels([0, 0, 3, 3, 3, 5], classes="classes")).measure()
    assert found == {"images": 6, "classes": 3}
    assert read(Counts.of_sums({"parts": np.array([2, 3]), "none": np.zeros(0, int)})).measure() == {
        "parts": 5,
        "none": 0,
    }


def test_one_picture_less_is_another_count(read):
    assert read(Counts.of_labels([0, 0, 3, 3, 3], classes="classes")).measure() == {"images": 5, "classes": 2}


def test_counts_by_a_rule_that_is_none_are_refused(read):
    with pytest.raises(Refusal, match="counts: numbers: images: product is none of sum, nonzero"):
        read(Counts({"a": np.array([1])}, {"images": ("product", "a")}))


def losses(second=0.1 + 0.2):
    return LossCurves({"a": [1.5, second], "b": [2.0]}, {"first": ("a", 0), "second": ("a", 1)})


def test_losses_are_read_as_they_were(read):
    assert read(losses()).measure() == {"first": 1.5, "second": 0.1 + 0.2}


def test_another_loss_is_another_number(read):
    assert read(losses(second=0.25)).measure()["second"] == 0.25


def test_an_epoch_that_is_not_there_is_refused(read):
    with pytest.raises(Refusal, match="loss curves: reported: first: no epoch 1 of b"):
        read(LossCurves({"b": [2.0]}, {"first": ("b", 1)}))


def features(changed=0.0):
    expected = np.array([[1, 2], [3, 4]], np.float32)
    found = expected + np.array([[0, 0], [0.5, changed]], np.float32)
    return FeaturePairs(((expected, found), (expected[:1], expected[:1] - np.float32(0.25))))


def test_the_largest_difference_of_all_showings(read):
    assert read(features()).measure() == {"largest_difference": 0.5, "pictures": 2}


def test_another_feature_is_another_difference(read):
    assert read(features(changed=-2.0)).measure()["largest_difference"] == 2.0


def test_features_of_two_shapes_are_refused(read):
    with pytest.raises(Refusal, match="feature pairs: found/0: expected float32 of shape"):
        read(broken(features(), **{"found/0": np.zeros((1, 2), np.float32)}))
