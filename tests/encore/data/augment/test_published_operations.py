"""Single operations against 234 recorded calls of AugLy 0.1.4 (tests/golden/isc_generate/ops.json)."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from PIL import Image, features

from encore.data.augment import overlays, perspective, pixels
from encore.data.augment.resample import resize
from tests.encore.data.augment import published_runs as runs
from tests.encore.data.augment.library_effects import EQUAL, UNEXPLAINED, explain_text

CASES = runs.read("ops.json")["cases"]
TEXTS = [case for case in CASES if case["op"] == "overlay_text"]


def named(case):
    return "{}-{}".format(case["op"], "-".join(str(value) for value in case["params"].values()))[:90]


def source(name, both=None):
    """A picture as ops.json names it: `photo`, `grey`, with a ramp as alpha, or the number of a foreign
    one.
    """
    if isinstance(name, int):
        image = runs.recorded_foreign()[name]
    else:
        image = runs.picture("inputs/" + runs.read("ops.json")[name.replace("_with_alpha_ramp", "")])
    if str(name).endswith("_with_alpha_ramp"):
        columns = np.arange(image.width) * 7 % 256
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(np.tile(columns.astype(np.uint8), (image.height, 1))))
    return resize(image, tuple(both)) if both else image


def perform(case, font=None):
    operation, params = case["op"], dict(case["params"])
    image = source(case["on"])
    if operation == "perspective_transform":
        assert params.pop("crop_out_black_border") is False
        return perspective.perspective_transform(image, **params)
    if operation == "overlay_emoji":
        emoji = runs.assets().emoji(runs.assets().emoji_names[params.pop("emoji")])
        return overlays.overlay_emoji(image, emoji, **params)
    if operation == "overlay_image":
        both = params.pop("resize_both", None)
        return overlays.overlay_image(
            source(params.pop("base"), both), source(params.pop("overlay"), both), **params
        )
    if operation == "overlay_text":
        return overlays.overlay_text(image, font=font, **params)
    return getattr(pixels, operation)(image, **params)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_operation(case):
    font = runs.RecordedFont(runs.assets().font)
    if "error" in case:
        with pytest.raises(ValueError):
            perform(case, font)
        assert case["error"] == "ValueError"
        return
    result = perform(case, font)
    assert (result.mode, list(result.size)) == (case["mode"], case["size"])
    if case["params"].get("sigma") == 0.0 and coefficients(case) != case["coefficients"]:
        # Without a move the coefficients are the identity plus rounding noise of about 1e-12 from the
        # machine's linear algebra library, and every pixel centre lies on a rounding boundary: of the grey
        # level (by one) and, on the border, of the picture itself. A chain never draws a sigma of exactly
        # 0.
        found, expected = (np.array(p).astype(int)[1:-1, 1:-1] for p in (result, recorded_perspective(case)))
        assert np.abs(found - expected).max() == 1
    else:
        assert runs.sha256(result) == case["sha256"]


def coefficients(case):
    return perspective.perspective_coefficients(source(case["on"]).size, case["params"]["sigma"])


def recorded_perspective(case):
    image = source(case["on"])
    return image.transform(image.size, Image.PERSPECTIVE, case["coefficients"], Image.BICUBIC)


@pytest.mark.parametrize("case", [case for case in CASES if case["op"] == "perspective_transform"], ids=named)
def test_perspective_coefficients(case):
    assert runs.sha256(recorded_perspective(case)) == case["sha256"]
    size, found = source(case["on"]).size, coefficients(case)
    # The corners are mapped back, whatever the library rounds: from where the recorded coefficients put
    # them to the same place within a millionth of a pixel.
    for x, y in ((0.5, 0.5), (size[0] / 2, 1), (size[0] - 1, size[1] - 1)):
        np.testing.assert_allclose(mapped(found, x, y), mapped(case["coefficients"], x, y), atol=1e-6)


def mapped(coefficients, x, y):
    a, b, c, d, e, f, g, h = coefficients
    return (a * x + b * y + c) / (g * x + h * y + 1), (d * x + e * y + f) / (g * x + h * y + 1)


@pytest.mark.parametrize("case", TEXTS, ids=named)
def test_text_with_local_glyphs_differs_only_by_them(case):
    reason = explain_text(case)
    assert reason != UNEXPLAINED
    if PIL.__version__ == "8.3.2" and features.check("raqm"):
        assert reason == EQUAL


@pytest.mark.skipif(
    PIL.__version__ != "8.3.2", reason="the basic layout was recorded under Pillow 8.3.2 only"
)
@pytest.mark.parametrize("case", TEXTS, ids=named)
def test_text_in_basic_layout_under_the_published_pillow(case):
    assert runs.sha256(perform(case, runs.assets("basic").font)) == case["sha256_basic_layout"]
