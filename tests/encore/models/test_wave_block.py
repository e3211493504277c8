import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from encore.models.wave_block import WaveBlock


@given(st.integers(1, 40), st.integers(0, 10000))
def test_one_band_keeps_its_value_and_the_rest_is_amplified(height, seed):
    block = WaveBlock()
    block.rng = random.Random(seed)
    found = block(torch.ones(2, 3, height, 4))
    band = round(0.3 * height)
    start = random.Random(seed).randint(0, height - band)
    rows = [1.0 if start <= row < start + band else 1.5 for row in range(height)]
    assert found[1, 2, :, 3].tolist() == rows
    assert torch.equal(found, found[:1, :1, :, :1].expand_as(found))


def test_evaluation_passes_the_input_and_draws_nothing():
    block = WaveBlock().eval()
    block.rng = random.Random(1)
    maps = torch.rand(1, 2, 10, 3)
    assert block(maps) is maps and block.rng.random() == random.Random(1).random()
