"""P x K batches against the published sampler."""

import json
from collections import Counter

import numpy as np
import pytest
from golden_files import golden
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.runtime.refusal import Refusal
from encore.systems.reid.identity_batches import identity_batches


@pytest.mark.parametrize("state", ["S", "H"])
def test_published_passes(state):
    with open(str(golden("reid/parts_%s.json" % state))) as file:
        rows = json.load(file)["sampler"]
    assert len(rows) >= 10
    for row in rows:
        labels, rng = (
            np.repeat(np.arange(len(row["sizes"])), row["sizes"]),
            np.random.RandomState(row["np_seed"]),
        )
        for name in ("epoch0", "epoch1"):
            found = identity_batches(labels, row["P"], row["K"], rng)
            assert found == row[name] and len(found) == row["len"]


def test_the_worked_example():
    labels = np.repeat(np.arange(5), [3, 1, 4, 2, 6])
    found = identity_batches(labels, 2, 2, np.random.RandomState(0))
    assert found == [[4, 6, 2, 0], [3, 3, 9, 8]]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_batches_of_any_labels(labels, P, K, seed):
    labels = np.array(labels)
    sizes = Counter(labels.tolist())
    if len(sizes) < P:
        with pytest.raises(Refusal, match="expected at least P = %d identities" % P):
            identity_batches(labels, P, K, np.random.RandomState(seed))
        return
    found = identity_batches(labels, P, K, np.random.RandomState(seed))
    assert len(found) == len(sizes) // P
    groups = [batch[start : start + K] for batch in found for start in range(0, P * K, K)]
    whose = [labels[group[0]] for group in groups]
    assert len(set(whose)) == len(whose)  # each identity once
    for group, label in zip(groups, whose):
        assert (labels[group] == label).all() and len(group) == K
        assert sizes[label] < K or len(set(group)) == K
