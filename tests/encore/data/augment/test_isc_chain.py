"""The chain against every recorded run of the published generators, draw by draw and pixel by pixel."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, features

from encore.data.augment.draws import Draws, TracedDraws
from encore.data.augment.isc_chain import PUBLISHED, IscChain
from encore.runtime.refusal import Refusal
from tests.encore.data.augment import published_runs as runs
from tests.encore.data.augment.library_effects import EQUAL, UNEXPLAINED, explain_result, explain_run

ALL = bool(os.environ.get("ENCORE_ALL_SEEDS"))
"""Replay all 810 further runs and all ten whole runs, instead of Track 2's and a sample of the others."""
PUBLISHED_PILLOW = PIL.__version__ == "8.3.2"


def recorded_picture(index):
    return runs.recorded_foreign()[index % 8]


def named(run):
    return "{dataset}-{input}-{seed}".format(**run)


def fired_name(step):
    """How more_seeds.json names a step that fired: text with a 1 for each round that did."""
    rounds = [int(fired) for fired in step["fired"]] if isinstance(step["fired"], list) else ""
    return "{}{}".format(step["step"], rounds)


def further_runs():
    found = runs.read("more_seeds.json")["runs"]
    return [run for i, run in enumerate(found) if ALL or run["dataset"] == "isc_100k_256" or i % 9 == 0]


def assert_steps(replay, steps):
    for number, (expected, found) in enumerate(zip(steps, replay.steps)):
        where = "step {} {}".format(number, expected["step"])
        assert found["step"] == expected["step"], where
        assert found["draws"] == runs.drawn(expected), where
        assert found["fired"] == expected["fired"], where
        assert (found["mode"], found["size"]) == (expected["mode"], expected["size"]), where
        assert found["sha256"] == expected["sha256"], where
    assert len(replay.steps) == len(steps)


def test_the_recorded_foreign_pictures_are_those_of_the_published_runs():
    expected = runs.read("trace.json")["foreign"]
    assert [expected[name]["sha256"] for name in runs.FOREIGN] == [
        runs.sha256(p) for p in runs.recorded_foreign()
    ]


@pytest.mark.parametrize("run", runs.read("trace.json")["runs"], ids=named)
def test_traced_run_draws_and_pixels_after_every_step(run):
    replay = runs.replay_published(run, font=runs.RecordedFont)
    assert_steps(replay, run["steps"])
    assert runs.sha256(replay.image) == run["sha256"]
    assert replay.draws.random() == run["next_draw_after"]["random"]
    assert replay.draws.rand() == run["next_draw_after"]["torch"]


@pytest.mark.parametrize("run", runs.read("trace.json")["runs"], ids=named)
def test_with_local_libraries_every_difference_has_a_found_reason(run):
    reason = explain_run(run)
    assert reason != UNEXPLAINED
    if PUBLISHED_PILLOW and features.check("raqm"):
        assert reason == EQUAL


@pytest.mark.skipif(not PUBLISHED_PILLOW, reason="the basic layout was recorded under Pillow 8.3.2 only")
@pytest.mark.parametrize("run", runs.read("trace.json")["runs"], ids=named)
def test_basic_layout_under_the_published_pillow(run):
    replay = runs.replay_published(run, "basic", foreign=runs.local_foreign())
    assert runs.sha256(replay.image) == run["sha256_basic_layout"]


@pytest.mark.parametrize("run", further_runs(), ids=named)
def test_further_seeds(run):
    replay = runs.replay_published(run, font=runs.RecordedFont)
    assert runs.sha256(replay.image) == run["sha256"]
    assert [fired_name(step) for step in replay.steps if np.any(step["fired"])] == run["fired"]
    numpy_draws = 3 * ("RandomApply(random_shuffle_pixels)" in run["fired"])
    assert len(replay.draws.trace) + numpy_draws == run["draws"]
    assert (replay.draws.random(), replay.draws.rand()) == (run["next_random"], run["next_torch"])


@pytest.mark.parametrize("run", further_runs()[::9], ids=named)
def test_further_seeds_with_local_libraries_differ_for_a_found_reason(run):
    assert explain_result(run) != UNEXPLAINED


@pytest.mark.skipif(not (ALL and PUBLISHED_PILLOW), reason="needs ENCORE_ALL_SEEDS and Pillow 8.3.2")
@pytest.mark.parametrize("run", further_runs(), ids=named)
def test_further_seeds_with_local_libraries(run):
    basic = runs.replay_published(run, "basic", foreign=runs.local_foreign())
    assert runs.sha256(basic.image) == run["sha256_basic_layout"]
    if features.check("raqm"):
        shaped = runs.replay_published(run, "raqm", foreign=runs.local_foreign())
        assert runs.sha256(shaped.image) == run["sha256"]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_step_forced_to_fire(name):
    steps = [step for step in runs.read("steps.json")["steps"] if step["dataset"] == name]
    recipe = runs.forced(PUBLISHED[name])
    replay = runs.Replay(
        recipe, runs.INPUTS[0], 11, runs.assets(font=runs.RecordedFont), runs.recorded_foreign()
    )
    assert_steps(replay, steps)


@pytest.mark.parametrize(
    "entry", runs.read("trace.json")["copy0"], ids=lambda e: e["dataset"] + "-" + e["input"]
)
def test_copy_zero(entry):
    chain = IscChain(PUBLISHED[entry["dataset"]], runs.assets(), recorded_picture)
    copy = chain.first_copy(runs.picture("inputs/" + entry["input"]), Draws(1))
    assert (copy.mode, list(copy.size), runs.sha256(copy)) == (entry["mode"], entry["size"], entry["sha256"])


def test_a_run_touches_no_global_generator_and_repeats():
    run = runs.read("trace.json")["runs"][0]
    recipe = runs.forced(PUBLISHED[run["dataset"]])
    chain = IscChain(recipe, runs.assets(), recorded_picture)
    image = runs.picture("inputs/" + run["input"])
    before = image.tobytes(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = chain(image, Draws(5)).tobytes()
    assert chain(image, Draws(5)).tobytes() == first
    assert chain(image, Draws(6)).tobytes() != first
    assert before == (image.tobytes(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_foreign_pictures_are_not_changed():
    chain = IscChain(runs.forced(PUBLISHED["isc_100k_256_big_opa"]), runs.assets(), recorded_picture)
    before = [runs.sha256(picture) for picture in runs.recorded_foreign()]
    for seed in range(12):
        chain(runs.picture("inputs/" + runs.INPUTS[0]), Draws(seed))
    assert before == [runs.sha256(picture) for picture in runs.recorded_foreign()]


def test_a_chain_can_be_sent_to_another_process():
    chain = IscChain(PUBLISHED["isc_100k_256"], runs.assets(), recorded_picture)
    image = runs.picture("inputs/" + runs.INPUTS[2])
    again = pickle.loads(pickle.dumps(chain))
    assert again(image, Draws(8)).tobytes() == chain(image, Draws(8)).tobytes()


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA", "P", "LA", "1"])
def test_tiny_sources_of_every_mode(size, mode):
    recipe = replace(PUBLISHED["isc_100k_256"], size=32)
    chain = IscChain(recipe, runs.assets(), recorded_picture)
    image = Image.new("RGB", (size, 1), (200, 30, 90)).convert(mode)
    for seed in range(3):
        out = chain(image, Draws(seed))
        assert (out.mode, out.size) == ("RGB", (32, 32))


def test_a_foreign_picture_too_small_to_scale_is_refused_by_number():
    recipe = runs.forced(PUBLISHED["isc_100k_256"])
    chain = IscChain(recipe, runs.assets(), lambda index: Image.new("RGB", (9, 300)))
    with pytest.raises(Refusal, match=r"at least 26 pixels a side, found number \d+ with 9x300"):
        chain(Image.new("RGB", (300, 300)), Draws(1))


def test_recording_and_tracing_change_nothing():
    chain = IscChain(PUBLISHED["isc_100k_256_big"], runs.assets(), recorded_picture)
    image = runs.picture("inputs/" + runs.INPUTS[1])
    names = []
    for seed in range(5):
        traced = chain(image, TracedDraws(seed), lambda name, fired, step: names.append(name))
        assert traced.tobytes() == chain(image, Draws(seed)).tobytes()
    assert len(names) == 5 * 17
