import dataclasses

import numpy as np
import pytest
from PIL import Image

from encore.data.augment.assets import Assets
from encore.data.augment.draws import Draws
from encore.data.augment.overlays import overlay_image
from encore.data.images import RejectedImage
from encore.runtime.refusal import Refusal
from encore.systems.isc_overlays.pasting import PastingRecipe, pasted, visible_box

ALWAYS = PastingRecipe(overlay_probability=1, emoji_probability=0, overlay_opacity=(1, 1))
EMOJIS = PastingRecipe(overlay_probability=0, emoji_probability=1, emoji_opacity=(1, 1), emoji_most=1)


@pytest.fixture(scope="module")
def assets():
    return Assets("basic")


def plain(colour, size=(90, 60)):
    return Image.new("RGB", size, colour)


def changed(before, after):
    """The box of all pixels that differ."""
    rows, columns = np.nonzero((np.asarray(before) != np.asarray(after)).any(axis=2))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_box_by_hand():
    # 60 high x 0.5 = 30; 40x20 becomes 60x30; at (9, 12), cut at 90.
    assert visible_box(plain("black"), plain("white", (40, 20)), 0.5, 0.1, 0.2) == (9, 12, 69, 42)
    assert visible_box(plain("black"), plain("white", (40, 20)), 0.5, 0.5, 0.2) == (45, 12, 90, 42)
    assert visible_box(plain("black"), plain("white", (40, 20)), 0.5, 1.0, 0.2) is None


def test_a_transparent_rim_does_not_count():
    overlay = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    overlay.paste((255, 255, 255, 255), (10, 20, 30, 30))
    assert visible_box(plain("black", (40, 40)), overlay, 1.0, 0, 0) == (10, 20, 30, 30)
    clear = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    assert visible_box(plain("black", (40, 40)), clear, 1.0, 0, 0) is None


@pytest.mark.parametrize("seed", range(12))
def test_an_overlays_box_holds_exactly_the_pixels_that_it_changes(seed, assets):
    below = plain("black", (97, 61))
    image, boxes = pasted(plain("white", (50, 80)), lambda: below, ALWAYS, assets, Draws(seed))
    assert boxes.tolist() == [changed(below, image) + [0]]
    assert image.size == below.size and image.mode == "RGB"


@pytest.mark.parametrize("seed", range(12))
def test_an_emojis_box_holds_exactly_the_pixels_that_it_changes(seed, assets):
    picture = plain((0, 0, 255), (97, 61))
    image, boxes = pasted(picture, None, EMOJIS, assets, Draws(seed))
    assert boxes.tolist() == [changed(picture, image) + [1]]


def test_draws_come_in_a_fixed_order(assets):
    below, picture, seed = plain("black", (97, 61)), plain("white", (50, 80)), 5
    draws = Draws(seed)
    draws.random()
    opacity, size, x, y = (draws.uniform(*limits) for limits in ((0.5, 1), (0.3, 0.9), (0, 0.5), (0, 0.5)))
    expected = overlay_image(below, picture, opacity, size, x, y).convert("RGB")
    recipe = dataclasses.replace(ALWAYS, overlay_opacity=(0.5, 1.0))
    image, _ = pasted(picture, lambda: below, recipe, assets, Draws(seed))
    assert (np.asarray(image) == np.asarray(expected)).all()


def test_some_pictures_get_nothing_and_stay_as_they_are(assets):
    recipe = PastingRecipe(overlay_probability=0, emoji_probability=0)
    image, boxes = pasted(plain("red").convert("L"), None, recipe, assets, Draws(0))
    assert boxes.shape == (0, 5)
    assert (np.asarray(image) == np.asarray(plain("red").convert("L").convert("RGB"))).all()


def test_all_kinds_come_about(assets):
    kinds = set()
    for seed in range(60):
        _, boxes = pasted(plain("white"), lambda: plain("black"), PastingRecipe(), assets, Draws(seed))
        kinds.add(tuple(boxes[:, 4].astype(int)))
    assert kinds == {(), (0,), (1,), (0, 1), (1, 1), (0, 1, 1)}


def test_a_line_cannot_be_pasted(assets):
    with pytest.raises(RejectedImage, match="1x900 pixels: too narrow to be pasted"):
        pasted(plain("white", (1, 900)), lambda: plain("black"), ALWAYS, assets, Draws(0))


def test_a_range_that_falls_is_refused():
    with pytest.raises(Refusal, match=r"emoji_size must be \[low, high\], found \[0.6, 0.1\]"):
        PastingRecipe(emoji_size=(0.6, 0.1))
