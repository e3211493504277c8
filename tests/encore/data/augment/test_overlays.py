"""Overlays and text, worked by hand on flat pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from encore.data.augment.overlays import AUGLY_0_1_4, AUGLY_0_1_10, overlay_emoji, overlay_image, overlay_text
from tests.encore.data.augment import published_runs as runs


def test_overlay_by_hand():
    # Height int(10 * 0.5) = 5, width int(4 * 5 / 2) = 10, at (int(20 * 0.3), int(10 * 0.25)) = (6, 2);
    # alpha int(255 * 0.5) = 127: 100 + (200 - 100) * 127 / 255 = 149.8.
    out = overlay_image(
        Image.new("RGB", (20, 10), (100, 0, 0)), Image.new("RGB", (4, 2), (200, 0, 0)), 0.5, 0.5, 0.3, 0.25
    )
    red, alpha = np.array(out)[..., 0], np.array(out)[..., 3]
    inside = np.zeros((10, 20), bool)
    inside[2:7, 6:16] = True
    assert out.mode == "RGBA"
    assert set(red[inside]) == {150} and set(red[~inside]) == {100}
    # Published: alpha of the picture is blended like a colour, 255 with 255 here.
    assert set(alpha.ravel()) == {255}


def test_an_overlay_is_at_least_one_pixel_high_and_clipped():
    base = Image.new("RGB", (10, 10), (100, 0, 0))
    dot = overlay_image(base, Image.new("RGB", (4, 4), (200, 0, 0)), 1.0, 0.0, 0.5, 0.5)
    assert np.argwhere(np.array(dot)[..., 0] == 200).tolist() == [[5, 5]]
    corner = overlay_image(base, Image.new("RGB", (4, 4), (200, 0, 0)), 1.0, 1.0, 0.9, 0.9)
    assert np.argwhere(np.array(corner)[..., 0] == 200).tolist() == [[9, 9]]


def test_a_palette_emoji_is_scaled_with_nearest_so_no_new_colours_appear():
    installed = runs.assets()
    emoji = installed.emoji(installed.emoji_names[0])
    assert emoji.mode == "P" and emoji.size == (72, 72)
    out = overlay_emoji(Image.new("RGB", (100, 100), (1, 2, 3)), emoji, 1.0, 0.5, 0.0, 0.0)
    rgba = emoji.convert("RGBA")
    opaque = {colour[:3] for _, colour in rgba.getcolors(5184) if colour[3] == 255}
    solid = np.array(rgba.resize((50, 50), Image.NEAREST))[..., 3] == 255
    assert {tuple(c) for c in np.array(out)[:50, :50][solid][:, :3].tolist()} <= opaque


@pytest.mark.parametrize("version, mode", [(AUGLY_0_1_4, "RGBA"), (AUGLY_0_1_10, "L")])
def test_the_mode_that_comes_back_depends_on_the_augly_version(version, mode):
    image = Image.new("L", (30, 30), 80)
    assert overlay_image(image, image, 1.0, 0.5, 0, 0, version).mode == mode
    assert overlay_text(image, [50], runs.assets().font, 0.5, 1.0, (9, 9, 9), 0, 0, version).mode == mode


class OneBlock:
    """A font whose every text is a solid block of 3 x 2 pixels, 1 right and 4 below its position."""

    def string(self, text):
        return "x" * len(text)

    def glyphs(self, string, pixels):
        self.pixels = pixels
        return Image.new("L", (3, 2), 255).im, (1, 4)


def test_text_replaces_colour_and_alpha_at_a_truncated_place():
    # (0.29 * 20 + 1, 0.19 * 10 + 4) = (6.8, 5.9) -> (6, 5); alpha round(0.5 * 255) = round(127.5) = 128.
    font = OneBlock()
    out = np.array(
        overlay_text(Image.new("RGB", (20, 10), (100, 0, 0)), [1, 2], font, 0.55, 0.5, (7, 8, 9), 0.29, 0.19)
    )
    assert font.pixels == 5  # int(min(20, 10) * 0.55)
    assert out[5:7, 6:9].reshape(-1, 4).tolist() == [[7, 8, 9, 128]] * 6
    assert (out[..., 0] == 7).sum() == 6


@pytest.mark.parametrize("text", [[], [0], [1, 2, 3]])
@pytest.mark.parametrize("size", [0.0, 0.001, 0.3])
def test_empty_text_and_size_zero_are_drawn(text, size):
    image = Image.new("RGB", (60, 60), (100, 0, 0))
    out = overlay_text(image, text, runs.assets().font, size, 1.0, (0, 255, 0), 0.1, 0.1)
    assert (out.mode, out.size) == ("RGBA", (60, 60))
    if text != [1, 2, 3]:
        assert out.convert("RGB").tobytes() == image.tobytes()


def test_size_zero_renders_like_size_one():
    font = runs.assets().font
    assert np.array_equal(runs.mask_array(font.glyphs("A", 0)[0]), runs.mask_array(font.glyphs("A", 1)[0]))
