import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from encore.metrics.pairs import GroundTruth, Predictions, contained, first_duplicate, pair_keys
from encore.runtime.refusal import Refusal

IDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3) | st.integers(2**40, 2**40 + 3)
PAIRS = st.lists(st.tuples(IDS, IDS), max_size=12)


def columns(pairs):
    return (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))


@settings(deadline=None)
@given(PAIRS, PAIRS)
@example([(0, 0), (2**32, 0)], [(0, 2**32 - 1)])  # query * 2^32 would wrap around to 0
def test_keys_are_equal_exactly_where_pairs_are(predicted, true):
    predictions = Predictions(*columns(predicted), np.zeros(len(predicted)))
    keys, true_keys = pair_keys(predictions, GroundTruth(*columns(true), np.array([], dtype=np.int64)))
    for first, key in zip(predicted + true, keys.tolist() + true_keys.tolist()):
        for second, other in zip(predicted + true, keys.tolist() + true_keys.tolist()):
            assert (first == second) == (key == other)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_contained_is_the_in_of_python(keys, among):
    result = contained(np.array(keys, dtype=np.int64), np.array(among, dtype=np.int64))
    assert result.tolist() == [key in among for key in keys]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9)))
def test_first_duplicate_names_two_equal_entries(keys):
    found = first_duplicate(np.array(keys, dtype=np.int64))
    if len(set(keys)) == len(keys):
        assert found is None
    else:
        assert found[0] < found[1] and keys[found[0]] == keys[found[1]]


def test_nan_is_refused_by_name_and_infinity_is_taken():
    Predictions([0, 1], [0, 1], [np.inf, -np.inf])
    with pytest.raises(Refusal, match="NaN in prediction 2"):
        Predictions([0, 1], [0, 1], [0.5, np.nan])


def test_wrong_types_and_lengths_are_errors():
    with pytest.raises(TypeError, match="integer"):
        Predictions([0.0], [0], [0.5])
    with pytest.raises(ValueError, match="as many"):
        Predictions([0], [0, 1], [0.5])
    with pytest.raises(ValueError, match="as many"):
        GroundTruth([0], [0, 1], [0])


def test_matched_queries_are_labelled():
    truth = GroundTruth([3, 1, 3], [0, 0, 1], [2])
    assert truth.labelled.tolist() == [1, 2, 3]
    assert len(truth) == 3
