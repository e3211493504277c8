"""Private streams that give what the global generators gave."""

from __future__ import annotations

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encore.data.augment.draws import Draws, TracedDraws

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_streams_are_those_of_the_seeded_global_generators(seed):
    states = random.getstate(), torch.get_rng_state()
    try:
        random.seed(seed)
        torch.manual_seed(seed)
        expected = [
            torch.rand(1).item(),
            torch.empty(1).uniform_(0.2, 1).item(),
            torch.tensor(1.0).uniform_(0.5, 1.5).item(),
            torch.randint(0, 83, (1,)).item(),
            torch.randperm(4).tolist(),
            random.random(),
            random.uniform(0, 50),
            random.randint(0, 10000),
            random.choice(["a", "b", "c"]),
            random.choices(range(100), k=7),
        ]
    finally:
        random.setstate(states[0])
        torch.set_rng_state(states[1])
    draws = Draws(seed)
    assert expected == [
        draws.rand(),
        draws.uniform_(0.2, 1),
        draws.uniform_(0.5, 1.5),
        draws.torch_randint(0, 83),
        draws.randperm(4),
        draws.random(),
        draws.uniform(0, 50),
        draws.randint(0, 10000),
        draws.choice(["a", "b", "c"]),
        draws.indices(100, 7),
    ]


def test_the_trace_of_the_published_run_with_seed_1():
    # The first draws of trace.json: isc_100k_256, seed 1.
    draws = TracedDraws(1)
    draws.uniform_(0.2, 1)
    draws.indices(100, draws.randint(0, 20))
    assert draws.trace[0] == ["torch.uniform_", 0.2, 1, 0.8061053156852722]
    assert draws.trace[1][:3] == ["random.randint", 0, 20]
    assert draws.trace[2][:3] == ["random.choices", "range(100)", "k={}".format(draws.trace[1][3])]


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_tracing_does_not_change_the_streams(seed):
    plain, traced = Draws(seed), TracedDraws(seed)
    calls = [
        ("rand",),
        ("uniform", 0, 1),
        ("randperm", 4),
        ("choice", "abc"),
        ("torch_randint", 0, 9),
        ("random",),
    ]
    assert [getattr(plain, c[0])(*c[1:]) for c in calls] == [getattr(traced, c[0])(*c[1:]) for c in calls]
    assert [entry[-1] for entry in traced.trace] == [Draws(seed).rand()] + [e[-1] for e in traced.trace[1:]]
