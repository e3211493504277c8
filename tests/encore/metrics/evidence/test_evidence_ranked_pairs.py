import numpy as np
import pytest

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
    units = sorted(part.queries, key=part.queries.index)
    found, drawn = part.bootstrap(40, 3), list(resampled(len(units), 40, 3))
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
