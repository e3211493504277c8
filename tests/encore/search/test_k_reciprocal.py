import json

import numpy as np
import pytest

from benchmarks.k_reciprocal import compare, literal, measure, people, squared_distances
from encore.runtime.refusal import Refusal
from encore.search.k_reciprocal import KReciprocal


def parts_of(distances, queries):
    """What `from_distances` takes, of the distances of all pictures."""
    return distances[:queries, queries:], distances[:queries, :queries], distances[queries:, queries:]


def literally(distances, queries, setting):
    return literal(distances, queries, setting.k1, setting.k2, setting.weight, sort="stable")


def drawn(seed):
    """Distances of some pictures; every other case has many equal ones."""
    random = np.random.RandomState(seed)
    n = random.randint(3, 60)
    features = random.standard_normal((n, 4)).astype(np.float32)
    if seed % 2:
        features = np.round(features)
        features[0, 0] += 1
        features[1] = features[0] + 1
    return squared_distances(features), random.randint(1, n)


def test_worked_example():
    # pictures on a line at 0 (the query), 1, 3, 9; k1 1: picture i is a reciprocal neighbour of the query if
    # each is the other's nearest: only the one at 1 is. k2 1: no averaging. Half of k1 rounds to 0: a
    # neighbour's own set is itself, which is shared.
    features = np.array([[0], [1], [3], [9]], dtype=np.float32)
    found = KReciprocal(k1=1, k2=1, weight=0.3).distances(features[:1], features[1:])
    # distances 0 1 9 81 over 81; encoding of the query: exp(0), exp(-1/81) on pictures 0 and 1; of picture 1
    # (distances 1 0 4 64 over 64): exp(-1/64), exp(0)
    one, other = np.exp(-1 / 81), np.exp(-1 / 64)
    overlap = min(1 / (1 + one), other / (1 + other)) + min(one / (1 + one), 1 / (1 + other))
    jaccard = 1 - overlap / (2 - overlap)
    assert found[0] == pytest.approx([0.7 * jaccard + 0.3 / 81, 0.7 + 0.3 * 9 / 81, 0.7 + 0.3], abs=1e-6)


@pytest.mark.parametrize(
    "setting", [KReciprocal(), KReciprocal(5, 3, 0.1), KReciprocal(4, 1, 0.5), KReciprocal(1, 8, 0)], ids=repr
)
def test_from_distances_the_same_bits_as_the_literal_implementation(setting):
    for seed in range(24):
        distances, queries = drawn(seed)
        found = setting.from_distances(*parts_of(distances, queries))
        np.testing.assert_array_equal(found, literally(distances, queries, setting))


def test_any_blocks_give_the_same_bits(monkeypatch):
    query, gallery = people(40, 300, 12, 16)
    distances = squared_distances(np.concatenate([query, gallery]))
    expected = literally(distances, 40, KReciprocal())
    for size in (4 * 340, 4 * 340 * 37):
        monkeypatch.setattr("encore.search.k_reciprocal.BLOCK_BYTES", size)
        monkeypatch.setattr("encore.search.k_reciprocal.SETS_BLOCK", size % 61 + 1)
        found = KReciprocal().from_distances(*parts_of(distances, 40))
        np.testing.assert_array_equal(found, expected)


def test_from_features_the_same_ranking_as_the_literal_implementation(monkeypatch):
    monkeypatch.setattr("encore.search.k_reciprocal.BLOCK_BYTES", 100 * 4 * 560)
    query, gallery = people(60, 500, 20, 32)
    found = KReciprocal().distances(query, gallery)
    expected = literally(squared_distances(np.concatenate([query, gallery])), 60, KReciprocal())
    np.testing.assert_allclose(found, expected, atol=2e-6)
    in_our_order = np.take_along_axis(expected, np.argsort(found, axis=1), axis=1)
    assert np.diff(in_our_order, axis=1).min() > -2e-6


def test_re_ranking_brings_pictures_of_a_person_together():
    random = np.random.RandomState(1)
    labels = np.arange(300) % 20
    features = random.standard_normal((20, 16))[labels] + 1.1 * random.standard_normal((300, 16))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    before = squared_distances(features)[:60, 60:]
    after = KReciprocal().distances(features[:60], features[60:])
    right = labels[:60, None] == labels[60:]
    share = [np.take_along_axis(right, np.argsort(d, axis=1), axis=1)[:, :10].mean() for d in (before, after)]
    assert share[1] > share[0] + 0.03


def test_weight_one_is_the_original_distance_over_the_largest_of_its_row():
    query, gallery = people(3, 20, 4, 8)
    whole = squared_distances(np.concatenate([query, gallery]))
    found = KReciprocal(weight=1).distances(query, gallery)
    np.testing.assert_allclose(found, (whole / whole.max(axis=1, keepdims=True))[:3, 3:], atol=1e-6)


def test_equal_pictures_are_at_distance_zero():
    same = np.ones((5, 3), dtype=np.float32)
    found = KReciprocal().distances(same[:2], same[2:])
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_the_benchmark_measures_the_same_work_on_all_sides(tmp_path, capsys):
    found = {}
    for side in ("literal", "given", "features"):
        measure(side, 20, 200, 10, 8, str(tmp_path / side))
        assert json.loads(capsys.readouterr().out)["seconds"] > 0
        found[side] = np.load(str(tmp_path / (side + ".npy")))
    same = {"differing_rankings": 0, "largest_fall": 0, "largest_difference": 0}
    assert compare(found["literal"], found["given"]) == same
    assert compare(found["literal"], found["features"])["largest_fall"] < 2e-6
    assert compare(found["literal"], -found["given"])["differing_rankings"] == 20


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: KReciprocal(k1=0), "found k1 0, k2 6, weight 0.3"),
        (lambda: KReciprocal(weight=1.5), "weight 1.5"),
        (lambda: KReciprocal().distances(np.ones((2, 3)), np.ones((2, 4))), "found 3 of the queries and 4"),
        (lambda: KReciprocal().distances(np.ones((0, 3)), np.ones((2, 3))), "expected query features"),
        (
            lambda: KReciprocal().distances(np.ones((1, 1)), [[1], [np.nan]]),
            "gallery features .* nan in row 1",
        ),
        (
            lambda: KReciprocal().from_distances(np.ones((1, 2)), np.ones((2, 2)), np.ones((2, 2))),
            r"found \(1, 2\), \(2, 2\) and \(2, 2\)",
        ),
        (
            lambda: KReciprocal().from_distances(-np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1))),
            "not similarities",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(Refusal, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)
