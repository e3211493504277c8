"""The drip training's augmentation against recorded runs of the published code."""

from __future__ import annotations

import collections
import json
import random

import numpy as np
import pytest
from PIL import Image

from encore.data.augment import drip_chain
from encore.data.augment.drip_assets import DripAssets
from encore.runtime.refusal import Refusal
from tests.encore.data.augment import drip_golden as runs
from tests.golden_files import golden

CASES = runs.recorded()["cases"]
LIBRARY_DEPENDENT = {"overlay_text": 0.5, "meme_format": 0.5, "encoding_quality": 1.0}
"""Largest mean difference where FreeType or the JPEG library decides on pixels; all others are equal.

Measured: text 0.04 (FreeType 2.14; none with 2.11 and 2.13), JPEG 0.55 (libjpeg-turbo; none with libjpeg 9).
"""

RECORDED_NAMES = {"ColorAugs.resize": "final_resize"}


def names_of(case):
    names = [step["name"] for step in case["steps"] if step["name"] != "ColorAugs.to_np_array"]
    return [RECORDED_NAMES.get(name, name.split(".")[-1]) for name in names]


def recorded_parameters(step):
    """A recorded step's parameters under this project's names; whatever is no parameter is left out."""
    given = {key: value for key, value in step.items() if not key.startswith(("src_", "dst_"))}
    name = given.pop("name")
    for key in ("intensity", "max_visible_opacity", "max_image_size_pixels", "interpolation", "mode", "dx"):
        given.pop(key, None)
    for key in ("dy", "resize_src_to_match_template", "template_bboxes_filepath"):
        given.pop(key, None)
    if name == "ColorAugs.invert_channel":
        return {c: given["invert_" + c[0]] for c in ("red", "green", "blue")}
    if name == "ColorAugs.swap_channels":
        return {"order": given["new_channel_order_v"]}
    if name == "ColorAugs.shift_channels":
        return dict(zip(("rows", "columns"), given["shift_v"]))
    if name == "ColorAugs.resize":
        return {"size": [given["width"], given["height"]]}
    if "font_file" in given:
        given["font_file"] = given["font_file"][len("fonts/") : -len(".ttf")]
    if "template_filepath" in given:
        given["template"] = given.pop("template_filepath").split("/")[-1]
    return given


def own_parameters(step, pool_ids):
    given = dict(step.parameters)
    if step.name == "perspective_transform":
        assert given.pop("redrawn") is False
    if step.name == "overlay_image":
        assert [given.pop("pool_id")] == pool_ids
    if "template" in given:
        given["template"] = given["template"].path.split("/")[-1]
    return json.loads(json.dumps(given))


@pytest.mark.parametrize("case", CASES, ids=[case["file"] for case in CASES])
def test_a_recorded_run_comes_out_again(case):
    result, next_random, next_np_random = runs.replay(case)
    assert [step.name for step in result.steps] == names_of(case)
    recorded = [step for step in case["steps"] if step["name"] != "ColorAugs.to_np_array"]
    for step, expected in zip(result.steps, recorded):
        # Floats too: the published arithmetic is followed operation by operation.
        assert own_parameters(step, case["pool_ids"]) == recorded_parameters(expected), step.name
    assert (next_random, next_np_random) == (case["next_random"], case["next_np_random"])
    assert result.raised == ()

    expected = np.array(Image.open(golden("drip/" + case["file"])))
    assert (list(result.pixels.shape), result.pixels.dtype) == (case["shape"], np.uint8)
    difference = np.abs(result.pixels.astype(int) - expected).mean()
    allowed = max([LIBRARY_DEPENDENT.get(name, 0.0) for name in names_of(case)])
    assert difference <= allowed


@pytest.mark.parametrize("intensity", ["0.5", "0.75", "1.0"])
def test_steps_fire_as_often_as_recorded_for_the_same_500_seeds(intensity):
    scan = runs.recorded()["scan"][intensity]
    chain, fired = runs.chain(float(intensity)), collections.Counter()
    for seed in range(*scan["seeds"]):
        for name, parameters in chain.draws(random.Random(seed), (384, 384), 3):
            fired[name + ("(under)" if parameters.get("underlay") else "")] += 1
    expected = dict(scan["fired"], final_resize=scan["fired"]["np_resize"])
    for name in ("invert_channel", "swap_channels", "shift_channels"):
        expected[name] = expected.pop("np_" + name)
    del expected["np_resize"], expected["np_to_np_array"]
    assert fired == expected


PROBABILITIES = {
    "scale": lambda i: 0.10,
    "encoding_quality": lambda i: 0.10,
    "color_jitter": lambda i: 0.20,
    "shuffle_pixels": lambda i: 0.10,
    "hflip": lambda i: 0.50,
    "vflip": lambda i: 0.10,
    "rotate": lambda i: 0.10 * i,
    "perspective_transform": lambda i: 0.10 * i,
    "grayscale": lambda i: 0.10 * i,
    "opacity": lambda i: 0.05 * i,
    "crop": lambda i: 0.10 * i * (1 - 0.10 * i),
    "pad": lambda i: 0.05 * i * (1 - 0.10 * i),
    "overlay_image": lambda i: 0.10 * i * (1 - 0.10 * i),
    "blur": lambda i: 0.05 * i,
    "sharpen": lambda i: 0.05 * i,
    "overlay_stripes": lambda i: 0.10 * i,
    "overlay_emoji": lambda i: 0.10 * i,
    "overlay_text": lambda i: 0.10 * i,
    "pixelization": lambda i: 0.10 * i,
    "meme_format": lambda i: 0.10 * i * (1 - 0.10 * i * (1 - 0.10 * i)),
    # Neither an overlay nor a perspective before it: 1 - 0.1 i, twice.
    "overlay_onto_screenshot": lambda i: 0.05 * i * (1 - 0.10 * i) ** 2,
}


@pytest.mark.parametrize("intensity", [0.5, 0.75, 1.0])
def test_frequencies_lie_within_binomial_bounds(intensity):
    samples, fired = 3000, collections.Counter()
    chain = runs.chain(intensity)
    for seed in range(10000, 10000 + samples):
        names = [step.name for step in chain.draws(random.Random(seed), (384, 384), 3)]
        # Pad and pad_square share a gate.
        fired.update({"pad" if name == "pad_square" else name for name in names})
    for name, probability in PROBABILITIES.items():
        p = probability(intensity)
        assert abs(fired[name] - samples * p) < 4.5 * (samples * p * (1 - p)) ** 0.5, name


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_drawn_sizes_and_channels_are_those_of_the_pictures(mode):
    chain = runs.chain(1.0)
    for seed in range(60):
        image = runs.picture("photo0").convert(mode).resize((70 + 5 * seed, 300 - 3 * seed))
        draws = chain.draws(random.Random(seed), image.size, len(mode))
        array = False
        for step in draws:
            image = chain._attempt(image, _Given([step]), np.random.RandomState(0), [])
            array = array or step.name in drip_chain._ARRAY_STEPS
            assert (image.shape[1], image.shape[0]) == draws.size, step
            assert (image.shape[2] if image.ndim == 3 else 1) == draws.bands, step
            image = image if array else _as_picture(image, mode if draws.bands == len(mode) else "RGB")


class _Given(list):
    drawing = None


def _as_picture(array, mode):
    return Image.frombytes(mode, array.shape[1::-1], array.tobytes())


def test_a_small_picture_is_enlarged_and_may_be_padded_square():
    chain, names = runs.chain(1.0), collections.Counter()
    for seed in range(200):
        steps = list(chain.draws(random.Random(seed), (79, 300), 3))
        sizes = [step.parameters["size"] for step in steps if step.name == "resize"]
        assert sizes[:1] == [(160, 160)]
    for seed in range(2000):
        names.update(step.name for step in chain.draws(random.Random(seed), (200, 300), 3))
    assert names["pad_square"] > 10


def test_the_picture_is_not_changed_and_no_global_state_is_used():
    image = runs.picture("photo1")
    before = image.tobytes(), random.getstate(), np.random.get_state()[1].tolist()
    chain = runs.chain(1.0)
    for seed in range(40):
        first = chain(image, random.Random(seed), np.random.RandomState(seed))
        again = chain(image, random.Random(seed), np.random.RandomState(seed))
        assert np.array_equal(first.pixels, again.pixels) and first.pixels.flags.writeable
        assert first.pixels.shape == (160, 160, 3)
    assert (image.tobytes(), random.getstate(), np.random.get_state()[1].tolist()) == before


def seed_whose_only_step_is(name):
    chain = runs.chain(1.0)
    for seed in range(2000):
        if [s.name for s in chain.draws(random.Random(seed), (384, 384), 3)] == [name, "final_resize"]:
            return seed
    raise AssertionError(name)


def test_a_step_that_raises_is_named_and_drawn_anew(monkeypatch):
    seed = seed_whose_only_step_is("hflip")
    calls = []

    def fails_once(image):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("broken")
        return image

    monkeypatch.setitem(drip_chain._STEPS, "hflip", fails_once)
    result = runs.chain(1.0)(runs.picture("photo0"), random.Random(seed), np.random.RandomState(0))
    assert result.raised == ("hflip",)
    # Published: drawing goes on from the number after the one that made the failing step.
    rng, chain = random.Random(seed), runs.chain(1.0)
    for step in chain.draws(rng, (384, 384), 3):
        if step.name == "hflip":
            break
    assert list(result.steps) == list(chain.draws(rng, (384, 384), 3))


def test_the_eleventh_failure_is_raised():
    always = _RaisingChain()
    with pytest.raises(OSError, match="broken"):
        always.chain(runs.picture("photo0"), random.Random(3), np.random.RandomState(0))
    assert always.attempts == drip_chain.RETRIES + 1 == 11


class _RaisingChain:
    """A chain whose every attempt fails at its first step."""

    def __init__(self):
        self.chain, self.attempts = runs.chain(0.5), 0
        self.chain._attempt = self._fail

    def _fail(self, image, draws, numpy_state, steps):
        steps.append(next(iter(draws)))
        self.attempts += 1
        raise OSError("broken")


def test_an_empty_pool_raises_and_names_the_draw():
    chain, raised = runs.chain(1.0, pool=[]), collections.Counter()
    for seed in range(100):
        raised.update(chain(runs.picture("photo0"), random.Random(seed), np.random.RandomState(0)).raised)
    assert set(raised) == {"overlay"} and raised["overlay"] > 2


def test_a_perspective_that_leaves_nothing_is_drawn_anew_without_a_crop():
    # Two pixels wide with sigma 30: most corners cross.
    chain, redrawn = runs.chain(1.0), 0
    for seed in range(600):
        for step in chain.draws(random.Random(seed), (2, 2), 3):
            if step.parameters.get("redrawn"):
                redrawn += 1
                assert step.parameters["crop_out_black_border"] is False
    assert redrawn > 3


@pytest.mark.parametrize("intensity", [-0.1, 1.1])
def test_an_intensity_out_of_range_is_refused(intensity):
    with pytest.raises(Refusal, match="intensity must lie in 0..1"):
        runs.chain(intensity)


def test_all_assets_are_there():
    assets = runs.assets()
    assert len(assets.emoji_names) == runs.recorded()["emojis"] == 872
    assert len(assets.font_names) == len(set(assets.font_names)) == runs.recorded()["fonts"] == 113
    assert (assets.font_names[0], assets.font_names[-1]) == ("Quicksand-Italic", "Ubuntu-LI")
    assert all(assets.font(name).characters for name in assets.font_names)
    modes = collections.Counter(assets.emoji(name).mode for name in assets.emoji_names)
    assert modes == {"P": 828, "RGBA": 42, "LA": 2}
    assert assets.digest() == "c17ac8432daf0e173b25b2263c2a66e9385b9908fb6f0b76aada62028e7c1c03"


def test_missing_assets_are_refused(tmp_path):
    with pytest.raises(Refusal, match="expected 872 emojis"):
        DripAssets("basic", tmp_path)
