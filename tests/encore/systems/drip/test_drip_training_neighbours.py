import math

import numpy as np
import pytest

from encore.runtime.refusal import Refusal
from encore.search.products import HostProducts, TorchProducts
from encore.systems.drip import training_neighbours
from encore.systems.drip.training_neighbours import PUBLISHED, TrainingNormalisation
from tests.encore.search.cut_set import CutSet
from tests.encore.systems.drip.eval_golden import arrays, sections

FOUR = TrainingNormalisation(neighbours=4)
QUERIES = np.array([[0.6, 0.8], [1, 0]], np.float32)
TRAINING = np.array([[0, 1], [0.8, 0.6], [-0.6, 0.8], [0.28, 0.96]], np.float32)


def unit_rows(count, width, seed):
    rows = np.random.RandomState(seed).standard_normal((count, width)) + 0.4
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_loops(query, training, rule):
    """q' of one query in float64, picture by picture and dimension by dimension."""
    query, training = query.astype(np.float64), training.astype(np.float64)
    nearest = sorted(range(len(training)), key=lambda k: -training[k].dot(query))[: rule.neighbours]
    differences = [[query[j] - training[k][j] for j in range(len(query))] for k in nearest]
    if rule.norms_over == "neighbours":
        norms = [math.sqrt(sum(d[j] ** 2 for d in differences)) for j in range(len(query))]
        scaled = [[d[j] / norms[j] for j in range(len(query))] for d in differences]
    else:
        scaled = [[value / math.sqrt(sum(other**2 for other in d)) for value in d] for d in differences]
    mean = [sum(d[j] for d in scaled) / len(scaled) for j in range(len(query))]
    length = math.sqrt(sum(value**2 for value in mean))
    cosine = sum(training[k].dot(query) for k in nearest[: rule.similar]) / rule.similar
    step = rule.factor * math.sqrt(cosine)
    return [query[j] + step * mean[j] / length for j in range(len(query))]


def test_the_published_code_gives_the_same():
    stored = arrays()
    moved = PUBLISHED.normalised(stored["trn_q"], stored["trn_t"])
    assert moved.dtype == np.float32 and sections()["trn"]["out_dtype"] == "float32"
    assert np.abs(moved - stored["trn_out"]).max() < 5e-6  # published tolerance 1e-4
    assert np.linalg.norm(moved, axis=1) == pytest.approx(sections()["trn"]["out_norms"], abs=5e-6)


def test_vectors_worked_by_hand():
    # q = (.6, .8): differences (.6, -.2), (-.2, .2), (1.2, 0), (.32, -.16). Over the neighbours the norms are
    # sqrt(.36 + .04 + 1.44 + .1024) = 1.393700 and sqrt(.04 + .04 + 0 + .0256) = .324962; means
    # 1.92 / 1.393700 / 4 = .344407 and -.16 / .324962 / 4 = -.123091; g = (.941664, -.336552).
    # Cosines .96, .936, .8: step 1.8 sqrt(.898667) = 1.706365; q' = (.6 + 1.606823, .8 - .574281).
    moved = FOUR.normalised(QUERIES, TRAINING)
    assert moved[0].tolist() == pytest.approx([0.6 + 1.606823, 0.8 - 0.574281], abs=1e-6)
    assert moved.ravel().tolist() == pytest.approx([2.206823, 0.225719, 1.714558, -0.809819], abs=1e-6)


def test_norms_over_the_dimensions_differ_from_the_published_quirk():
    meant = TrainingNormalisation(neighbours=4, norms_over="dimensions").normalised(QUERIES, TRAINING)
    assert meant.ravel().tolist() == pytest.approx([2.305771, 0.755012, 1.707618, -0.81589], abs=1e-6)
    assert PUBLISHED == TrainingNormalisation(100, 1.8, 3, "neighbours")


@pytest.mark.parametrize("norms_over", training_neighbours.NORMS_OVER)
def test_every_query_by_loops_in_blocks(norms_over, monkeypatch):
    monkeypatch.setattr(training_neighbours, "BLOCK", 3)
    rule = TrainingNormalisation(9, 1.1, 2, norms_over)
    queries, training = unit_rows(7, 6, 0), unit_rows(40, 6, 1)
    moved = rule.normalised(queries, training)
    assert np.allclose(moved, [by_loops(query, training, rule) for query in queries], atol=1e-5)


def test_what_the_queries_and_training_rows_come_from_changes_nothing():
    queries, training = unit_rows(7, 6, 0), unit_rows(150, 6, 1)
    moved = PUBLISHED.normalised(queries, training)
    assert np.array_equal(moved, PUBLISHED.normalised(CutSet(queries, 2), CutSet(training, 40)))
    by_torch = PUBLISHED.normalised(queries, training, TorchProducts("cpu", "squared_l2"))
    assert np.abs(by_torch - moved).max() < 1e-5


def test_references_stay_and_queries_are_not_normalised_again():
    queries = unit_rows(7, 6, 0)
    kept = queries.copy()
    moved = PUBLISHED.normalised(queries, unit_rows(150, 6, 1))
    assert np.array_equal(queries, kept)
    assert (np.linalg.norm(moved, axis=1) > 1.5).all()


def test_no_queries_give_none():
    assert FOUR.normalised(np.empty((0, 2), np.float32), TRAINING).shape == (0, 2)


def test_refusals():
    with pytest.raises(Refusal, match="at least 100 training descriptors .* found 4"):
        PUBLISHED.normalised(QUERIES, TRAINING)
    with pytest.raises(Refusal, match="equal width"):
        FOUR.normalised(unit_rows(2, 3, 0), TRAINING)
    with pytest.raises(Refusal, match=r"mean cosine -0\.\d+ in query row 1 \(1 rows in all\)"):
        FOUR.normalised(np.array([[0, 1], [0, -1]], np.float32), TRAINING)
    with pytest.raises(Refusal, match="none of a direction in query row 1"):
        FOUR.normalised(np.array([[1, 0], [0, 1]], np.float32), np.repeat([[0, 1.0]], 4, axis=0))
    with pytest.raises(Refusal, match="similar 3 and neighbours 2"):
        TrainingNormalisation(neighbours=2)
    with pytest.raises(Refusal, match="norms_over .* found 'axis 1'"):
        TrainingNormalisation(norms_over="axis 1")
    with pytest.raises(ValueError, match="squared_l2, not inner_product"):
        FOUR.normalised(QUERIES, TRAINING, HostProducts())


def test_a_query_without_direction_is_named_by_its_row_in_the_whole(monkeypatch):
    monkeypatch.setattr(training_neighbours, "BLOCK", 2)
    queries = np.array([[1, 0]] * 4 + [[0, 1]], np.float32)
    with pytest.raises(Refusal, match="none of a direction in query row 4"):
        FOUR.normalised(queries, np.repeat([[0, 1.0]], 4, axis=0))
