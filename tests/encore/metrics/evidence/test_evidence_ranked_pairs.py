import numpy as np
import pytest

from encore.metrics.evidence.differences import Difference, Differences
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.reading import read_evidence
from encore.metrics.evidence.resampling import resampled
from encore.metrics.pairs import GroundTruth, Predictions
from encore.runtime.refusal import Refusal
from tests.encore.metrics.evidence.evidence_pairs import (
    WHATS,
    most_drawn,
    ordinary,
    random_pairs,
    ranked_pairs,
    repeated,
)

DEFINITIONS = ("isc2021", "platform")


def hand_worked(second_is_right=False):
    # Right at places 1 and 3 of 4, two true pairs: (1/1 + 2/3) / 2 = 5/6; query 8 finds its reference second.
    references = np.array([3, 4, 6, 5])
    if second_is_right:
        references = np.array([3, 6, 4, 5])
    truth = GroundTruth(np.array([7, 8]), np.array([3, 6]), np.array([7, 8, 9]))
    return truth, Predictions(np.array([7, 8, 8, 9]), references, np.array([0.9, 0.8, 0.7, 0.1]))


def read(part, path):
    EvidenceFile(part).write(path)
    return read_evidence(path)


def test_hand_worked_list_is_measured_from_the_file(tmp_path):
    truth, ranked = hand_worked()
    found = read(ranked_pairs(truth, {"all": ranked}), tmp_path / "a.npz").measure()
    assert found == {
        "all_micro_ap": pytest.approx(5 / 6, abs=1e-15),
        "all_recall_at_p90": 0.5,
        "all_recall_at_1": 0.5,
        "all_recall_at_10": 1.0,
    }


def test_a_changed_prediction_changes_the_number(tmp_path):
    truth, ranked = hand_worked(second_is_right=True)
    found = read(ranked_pairs(truth, {"all": ranked}), tmp_path / "a.npz").measure()
    assert found["all_micro_ap"] == found["all_recall_at_1"] == 1.0


def test_scores_that_differ_beyond_float32_stay_apart(tmp_path):
    truth, ranked = hand_worked()
    # the wrong one of query 8 is ahead of its right one by less than float32 tells
    score = np.array([0.9, 0.7 + 1e-12, 0.7, 0.1])
    part = ranked_pairs(truth, {"all": Predictions(ranked.query, ranked.reference, score)})
    assert read(part, tmp_path / "a.npz").measure()["all_recall_at_1"] == 0.5
    turned = Predictions(ranked.query, ranked.reference, score - [0, 2e-12, 0, 0])
    part = ranked_pairs(truth, {"all": turned})
    assert read(part, tmp_path / "a.npz").measure()["all_recall_at_1"] == 1.0


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("number", range(5))
def test_any_list_is_measured_as_by_the_metric_itself(tmp_path, number, definition):
    truth, ranked = random_pairs(number, definition)
    found = read(ranked_pairs(truth, {"a": ranked}, definition), tmp_path / "a.npz").measure()
    expected = {"a_" + name: value for name, value in ordinary(truth, ranked, definition).items()}
    assert found == {name: value for name, value in expected.items() if not np.isnan(value)}


def test_a_number_that_the_definition_does_not_have_is_left_out(tmp_path):
    truth, ranked = hand_worked()
    ranked = ranked.select(np.array([1, 2]))  # wrong, right: precision never reaches 0.9
    assert "a_recall_at_p90" not in read(ranked_pairs(truth, {"a": ranked}), tmp_path / "a.npz").measure()


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("number", range(4))
def test_the_bootstrap_is_that_of_queries_repeated_one_by_one(number, definition):
    truth, ranked = random_pairs(number, definition)
    part = ranked_pairs(truth, {"a": ranked}, definition)
    assert part.queries == sorted(part.queries)
    found, drawn = part.bootstrap(40, 3), list(resampled(len(part.queries), 40, 3))
    assert max(map(most_drawn, drawn)) > 3
    for draw, places in enumerate(drawn):
        expected = ordinary(*repeated(part.truth, part.lists["a"], places), definition=definition)
        for what in WHATS:
            assert found["a_" + what][draw] == pytest.approx(expected[what], abs=1e-12, nan_ok=True), what


def test_the_bootstrap_does_not_depend_on_how_many_draws_are_held_at_once(monkeypatch):
    truth, ranked = random_pairs(0, "platform")
    part = ranked_pairs(truth, {"a": ranked}, "platform")
    whole = part.bootstrap(20, 0)
    monkeypatch.setattr("encore.metrics.evidence.resampling.AT_ONCE", 150)
    for key, values in part.bootstrap(20, 0).items():
        np.testing.assert_array_equal(values, whole[key])


def test_a_draw_without_a_true_pair_has_no_number():
    truth = GroundTruth(np.array([0]), np.array([0]), np.array([0, 1]))
    part = ranked_pairs(truth, {"a": Predictions(np.array([0, 1]), np.array([0, 0]), np.array([1.0, 0.5]))})
    found, drawn = part.bootstrap(20, 0)["a_micro_ap"], np.array(list(resampled(2, 20, 0)))
    none = (drawn == 1).all(axis=1)
    assert none.any() and not none.all()
    np.testing.assert_array_equal(np.isnan(found), none)


def listed(truth, ranked, unlabelled, better=0.0):
    """The evidence of a list that has one more prediction for each query of `unlabelled`, below all others,
    and right ones by `better` ahead."""
    right = np.isin(ranked.query * 100 + ranked.reference, truth.query * 100 + truth.reference)
    codes = np.array(unlabelled, dtype=np.int64)
    columns = np.append(ranked.query, codes), np.append(ranked.reference, np.zeros(len(codes), np.int64))
    return ranked_pairs(
        truth, {"a": Predictions(*columns, np.append(ranked.score + better * right, -1.0 - codes))}
    )


def gap(folder, of, less):
    """1000 draws of the difference of two evidences, by files of a folder."""
    EvidenceFile(of).write(folder / "of.npz")
    EvidenceFile(less).write(folder / "less.npz")
    rows = (Difference("gap", "of.npz", "a_micro_ap", "less.npz", "a_micro_ap"),)
    return read(Differences(rows), folder / "gap.npz").bootstrap(1000, 0)["gap"]


def width(draws):
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return high - low


def test_a_difference_is_paired_whatever_unlabelled_queries_each_side_found(tmp_path):
    truth, ranked = random_pairs(2, "platform", queries=60)
    # Names that stand before and after the labelled ones: Q59 has predictions already.
    first, second = [100, 101, 102], [100, 205, 300, 301, 302, 303]
    drawn = gap(tmp_path, listed(truth, ranked, first, 0.25), listed(truth, ranked, second))
    whole = sorted(set(first) | set(second))
    paired = gap(tmp_path, listed(truth, ranked, whole, 0.25), listed(truth, ranked, whole))
    # What is found last, of queries without a true pair, changes no precision before it.
    np.testing.assert_allclose(drawn, paired, atol=1e-12)
    assert width(drawn) == pytest.approx(width(paired), abs=1e-12)
    # Drawn each on its own, by place, they would be far apart.
    sides = (listed(truth, ranked, first, 0.25), listed(truth, ranked, second))
    apart = np.subtract(*(side.bootstrap(1000, 0)["a_micro_ap"] for side in sides))
    assert width(apart) > 1.5 * width(drawn)


def test_of_one_list_named_twice_no_draw_differs(tmp_path):
    truth, ranked = random_pairs(1, "isc2021", queries=30)
    drawn = gap(tmp_path, listed(truth, ranked, [50]), listed(truth, ranked, [40, 41, 60]))
    np.testing.assert_allclose(drawn[~np.isnan(drawn)], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("query/all", np.array([0, 1, 1, 7]), "query/all: expected numbers from 0 to 2, found 0 to 7"),
        ("score/all", np.array([0.5]), "score/all: expected 4 entries, found 1"),
        ("score/all", np.array([1.0, np.nan, 0.5, 0.25]), "found NaN in prediction 2"),
        ("true_reference", np.array([0.5, 1.5]), "true_reference: expected integers"),
    ],
)
def test_broken_entries_are_refused_by_file_and_name(tmp_path, entry, value, said):
    part = ranked_pairs(*_lists(hand_worked()))
    broken = type(
        "Part", (), {"kind": part.kind, "arrays": lambda self: dict(part.arrays(), **{entry: value})}
    )
    EvidenceFile(broken()).write(tmp_path / "a.npz")
    with pytest.raises(Refusal) as refusal:
        read_evidence(tmp_path / "a.npz")
    assert str(refusal.value).startswith(str(tmp_path / "a.npz")) and said in str(refusal.value)


def _lists(pairs):
    return pairs[0], {"all": pairs[1]}
