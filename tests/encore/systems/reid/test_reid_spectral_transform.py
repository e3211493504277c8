import numpy as np
import pytest
import torch

from encore.metrics.person_ranking import market_ranking
from encore.runtime.refusal import Refusal
from encore.systems.reid.spectral_transform import SpectralTransform, first_places, rescored, transformed
from tests.encore.systems.reid.reid_formula import off_largest, read

TRAINING = read("parts_H.json")["spectral_train"]
TIED = (1, 4, 5, 6, 7, 8, 9)
"""Galleries with equal scores: as an unstable sort left them they are not tested against (README)."""
RANKINGS = [
    row
    for row in read("parts_H.json")["market"]
    if row["spectral"] and (row["sort"] == "stable" or row["set"] not in TIED)
]


def test_training_by_hand():
    features = torch.tensor([[3.0, 4.0], [4.0, 3.0], [-1.0, 1.0]])
    found, mean = transformed(features, 0.3)
    expected = [[3.344533, 3.506709], [3.446210, 3.413348], [-0.790743, 1.079943]]
    assert torch.allclose(found, torch.tensor(expected), atol=2e-6)
    assert mean.item() == pytest.approx(0.656985, abs=1e-6)


def test_below_the_accuracy_features_stay():
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    transform = SpectralTransform(0.3)
    assert transform(features, 0.8999) == (features, 0.0)
    assert transform(features, 0.9)[1] > 0


@pytest.mark.parametrize("row", TRAINING, ids="{0[t]}-{0[acc]}".format)
def test_published_training(row):
    published = read("parts_H.npz")["sp_t%g_acc%g" % (row["t"], row["acc"])]
    features = torch.tensor(read("parts_H.npz")["sp_t%g_acc0" % row["t"]])  # the identity
    found, mean = SpectralTransform(row["t"])(features, row["acc"])
    assert off_largest(found, published) < 1e-5
    assert np.linalg.norm(found.numpy()) == pytest.approx(row["out"]["l2"], rel=1e-5)
    assert mean == pytest.approx(row["st_mean"], rel=1e-5)


@pytest.mark.parametrize(
    "temperature, expected",
    [(0.5, (0.880173, 0.803155, 0.750331, 0.606102)), (0.7, (0.853830, 0.788525, 0.747260, 0.641597))],
)
def test_new_scores_by_hand(temperature, expected):
    from encore.systems.reid.spectral_transform import _new_scores

    first = np.array([[[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]]])
    found = _new_scores(np.array([[0.96, 0.28]]), first, temperature)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_first_change_their_order_and_the_rest_stays():
    draws = np.random.RandomState(0)
    gallery, queries = unit(draws.randn(30, 4)), unit(draws.randn(3, 4))
    scores = queries @ gallery.T
    found = rescored(scores, queries, gallery, 0.5, top=10)
    for row, (before, after) in enumerate(zip(scores, found)):
        order, new = np.argsort(before)[::-1], np.argsort(after)[::-1]
        assert sorted(new[:10]) == sorted(order[:10])
        assert new[10:].tolist() == order[10:].tolist()
        assert new[:10].tolist() == literal_order(order[:10], queries[row], gallery, 0.5)
        assert (after[order[10:]] == before[order[10:]]).all()


def literal_order(places, query, gallery, temperature):
    first = gallery[places]
    likeness = np.exp(first @ first.T / temperature)
    weights = likeness / likeness.sum(axis=1, keepdims=True)
    return [int(places[place]) for place in np.argsort(weights @ first @ query)[::-1]]


def test_of_equal_scores_the_later_place_comes_first():
    assert first_places(np.array([1.0, 3, 2, 3, 2, 2]), 4).tolist() == [3, 1, 5, 4]
    gallery, query = np.array([[1.0, 0.0]] * 3), np.array([[1.0, 0.0]])
    found = rescored(query @ gallery.T, query, gallery, 0.5)
    # the first order is 2, 1, 0; of its equal new scores the later ones come first
    assert np.argsort(found[0])[::-1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("row", RANKINGS, ids="{0[set]}-{0[sort]}-{0[spectral]}".format)
def test_published_rankings(row):
    arrays = {
        key: read("parts_S.npz")["m%d_%s" % (row["set"], key)] for key in ("gf", "gp", "gc", "qf", "qp", "qc")
    }
    gallery, queries = unit(arrays["gf"]), unit(arrays["qf"])
    scores = (queries.astype(np.float64) @ gallery.astype(np.float64).T).astype(np.float32)
    scores = rescored(scores, queries, gallery, row["spectral"])
    found = market_ranking(scores, arrays["qp"], arrays["qc"], arrays["gp"], arrays["gc"])
    assert found.mean_average_precision == pytest.approx(row["mAP"], abs=1e-9)
    assert [found.rank(k) for k in (1, 5, 10)] == pytest.approx([row["rank1"], row["rank5"], row["rank10"]])
    precisions = np.nan_to_num(found.average_precisions)
    published = row["per_query_ap_and_first_good_rank"]
    assert precisions.tolist() == pytest.approx([query[0] for query in published], abs=1e-9)
    assert found.first_good.tolist() == [query[1] for query in published]


def test_scores_are_not_changed_in_place_and_an_empty_gallery_stays():
    scores, queries = np.zeros((1, 2)), np.ones((1, 1))
    rescored(scores, queries, np.ones((2, 1)), 0.5)
    assert (scores == 0).all()
    assert rescored(np.zeros((1, 0)), queries, np.ones((0, 1)), 0.5).shape == (1, 0)


@pytest.mark.parametrize("make", [SpectralTransform, lambda t: rescored(np.ones((1, 1)), None, None, t)])
def test_temperatures_of_0_are_refused(make):
    with pytest.raises(Refusal, match="expected a temperature above 0, found 0"):
        make(0)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(Refusal, match="expected finite scores"):
        rescored(np.array([[1.0, float("nan")]]), np.ones((1, 1)), np.ones((2, 1)), 0.5)


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)
