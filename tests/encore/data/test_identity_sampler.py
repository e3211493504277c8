"""The sampler against two passes of the published one."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encore.data.identity_sampler import IdentitySampler, SamplerDraws
from tests.golden_files import golden

PUBLISHED = json.loads(golden("isc/sampler.json").read_text())


@pytest.mark.parametrize("case", sorted(PUBLISHED))
def test_two_passes_of_the_published_sampler(case):
    expected = PUBLISHED[case]
    sampler = IdentitySampler(np.repeat(np.arange(len(expected["sizes"])), expected["sizes"]), expected["K"])
    assert len(sampler) == expected["length"]
    draws = SamplerDraws.seeded(expected["seed"])
    for order in expected["passes"]:
        assert sampler.order(draws).tolist() == order


def test_an_identity_with_two_images_gives_one_and_three_times_the_other():
    # The pair models of Track 1: i, j, j, j.
    order = IdentitySampler(np.repeat(np.arange(6), 2), 4).order(SamplerDraws.seeded(8)).tolist()
    for start in range(0, 24, 4):
        first, *others = order[start : start + 4]
        assert others == [first ^ 1] * 3  # images 2k and 2k + 1 share an identity


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(2, 5), st.integers(0, 2**40))
def test_every_identity_comes_once_with_its_own_images(sizes, instances, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    shuffled = np.random.RandomState(seed % 2**32).permutation(labels)
    order = IdentitySampler(shuffled, instances).order(SamplerDraws.seeded(seed)).tolist()
    counts = Counter(shuffled[order].tolist())
    assert counts == {label: 1 if size == 1 else instances for label, size in enumerate(sizes)}
    for label, size in enumerate(sizes):
        own = [index for index in order if shuffled[index] == label]
        if size > instances:  # enough others: none comes twice
            assert len(set(own)) == instances
        elif size > 1:  # the anchor never comes twice
            assert own[0] not in own[1:]
