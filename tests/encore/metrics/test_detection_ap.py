import numpy as np
import pytest

from encore.metrics.detection_ap import average_precisions, overlaps


def box(left, confidence=None, kind=0):
    """A 10x10 box `left` pixels to the right: a true one, or a detection where a confidence is given."""
    return [left, 0, left + 10, 10] + ([] if confidence is None else [confidence]) + [kind]


def arrays(pictures, columns):
    return [np.array(rows, dtype=float).reshape(-1, columns) for rows in pictures]


def precision(truth, found, kind=0, **options):
    return average_precisions(arrays(truth, 5), arrays(found, 6), [kind], **options)[kind]


def test_hand_worked():
    # Four true boxes; by confidence right, wrong, right, right, wrong: precisions 1, 1/2, 2/3, 3/4, 3/5 at
    # recalls 1/4, 1/4, 2/4, 3/4, 3/4. Best from each recall on: 1, 3/4, 3/4. (1 + 3/4 + 3/4) / 4 = 0.625.
    truth = [[box(0), box(100)], [box(0)], [box(0)]]
    found = [[box(0, 0.9), box(50, 0.8), box(101, 0.6)], [box(1, 0.7)], [box(40, 0.5)]]
    assert precision(truth, found) == 0.625


def test_a_second_detection_of_the_same_box_is_wrong():
    assert precision([[box(0)]], [[box(0, 0.9), box(0, 0.8)]]) == 1.0
    assert precision([[box(0)], [box(0)]], [[box(0, 0.9), box(1, 0.8)], [box(0, 0.7)]]) == (1 + 2 / 3) / 2


def test_a_detection_belongs_to_the_box_that_it_overlaps_most():
    # It lies nearer to the second box, which a better detection has taken: wrong, though the first is free.
    truth, found = [[box(0), box(4)]], [[box(4, 0.9), box(3, 0.8)]]
    assert precision(truth, found, overlap=0.3) == 0.5


def test_overlap_of_exactly_one_half_counts():
    found = [[[0, 0, 10, 5, 0.9, 0]]]
    assert precision([[box(0)]], found) == 1.0
    assert precision([[box(0)]], found, overlap=0.51) == 0.0


def test_classes_are_apart_and_one_without_true_boxes_is_left_out():
    truth = arrays([[box(0, kind=1)], []], 5)
    found = arrays([[box(0, 0.9, 0), box(0, 0.8, 1)], [box(0, 0.7, 0)]], 6)
    assert average_precisions(truth, found, [0, 1]) == {1: 1.0}
    assert average_precisions(truth, arrays([[], []], 6), [0, 1]) == {1: 0.0}


def test_overlaps_by_hand():
    found = overlaps([[0, 0, 10, 10], [0, 0, 0, 0]], [[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]])
    assert np.allclose(found, [[1 / 3, 1, 0], [0, 0, 0]])


def literal(truth, found, overlap):
    """All points of the precision-recall curve, then a sum of rectangles; written apart from the module."""
    rows = [(row[4], i, row[:4]) for i, rows in enumerate(found) for row in rows]
    rows.sort(key=lambda entry: -entry[0])
    used, hits, curve = set(), 0, []
    total = sum(map(len, truth))
    for rank, (_, i, own) in enumerate(rows, 1):
        shares = [overlaps([own], [true[:4]])[0, 0] for true in truth[i]]
        if shares:
            best = max(range(len(shares)), key=lambda k: (shares[k], -k))
            if shares[best] >= overlap and (i, best) not in used:
                used.add((i, best))
                hits += 1
        curve.append((hits / total, hits / rank))
    area, before = 0.0, 0.0
    for recall in sorted({recall for recall, _ in curve}):
        area += (recall - before) * max(p for r, p in curve if r >= recall)
        before = recall
    return area


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_literal_implementation(seed):
    draws = np.random.RandomState(seed)
    truth = arrays([[box(50 * k) for k in range(draws.randint(0, 4))] for _ in range(12)] + [[box(0)]], 5)
    found = []
    for true in truth:
        near = [[b[0] + draws.randint(-6, 7), 0, b[2], 10, draws.randint(0, 9) / 8, 0] for b in true]
        far = [box(500 + 20 * k, draws.randint(0, 9) / 8) for k in range(draws.randint(0, 3))]
        found.append(np.array(near + far, dtype=float).reshape(-1, 6))
    expected = literal(truth, found, 0.5)
    assert average_precisions(truth, found, [0])[0] == pytest.approx(expected, abs=1e-12)
