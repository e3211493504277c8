"""Single operations of the drip training's augmentation, by hand and by the published formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from encore.data.augment import channels, rotation, screenshot
from encore.data.augment.colour import jitter_in_order
from encore.data.augment.meme import fitting_size, meme_format
from encore.data.augment.opacity import opacity
from encore.data.augment.opencv_bilinear import (
    _positions,
    _weight,
    resize_bilinear,
    resize_picture,
)
from encore.data.augment.overlays import AUGLY_0_1_10, overlay_image, overlay_text
from encore.data.augment.perspective import box_without_border, perspective_transform
from encore.data.augment.pixels import pad_to_square, padded_size, shuffle_pixels_as_seeded, square_factors
from encore.data.augment.stripes import DASH_WIDTH, overlay_stripes, stripe_mask
from encore.runtime.refusal import Refusal
from tests.encore.data.augment import drip_golden as runs


def opencv_by_the_book(row_pairs, columns, source):
    """One channel by scalar arithmetic: S0 a0 + S1 a1, cut by 4; products cut by 16; (sum + 2) >> 2."""
    result = []
    for above, below, b0, b1 in row_pairs:
        line = []
        for left, right, a0, a1 in columns:
            s0 = (source[above][left] * a0 + source[above][right] * a1) >> 4
            s1 = (source[below][left] * a0 + source[below][right] * a1) >> 4
            line.append((((s0 * b0) >> 16) + ((s1 * b1) >> 16) + 2) >> 2)
        result.append(line)
    return result


def neighbours(source, target, clamp_weight):
    pairs = []
    for at in range(target):
        position = np.float32((at + 0.5) * (1.0 / (target / source)) - 0.5)
        first = math.floor(position)
        fraction = position - np.float32(first)
        if clamp_weight and not 0 <= first < source - 1:
            fraction = np.float32(0)
        weights = [int(np.rint(np.float32(2048) * w)) for w in (np.float32(1) - fraction, fraction)]
        pairs.append([min(max(first + k, 0), source - 1) for k in (0, 1)] + weights)
    return pairs


@pytest.mark.parametrize("shape", [(5, 7), (300, 211), (161, 159), (1, 1), (2, 40)])
@pytest.mark.parametrize("size", [(16, 16), (9, 31)])
def test_the_bilinear_resize_is_opencvs_integer_arithmetic(shape, size):
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    expected = opencv_by_the_book(
        neighbours(shape[0], size[1], False), neighbours(shape[1], size[0], True), pixels.tolist()
    )
    assert resize_bilinear(pixels, size).tolist() == expected


def test_bilinear_by_hand():
    # 4 -> 3 columns: positions 1/6, 1.5, 2.8333; weights of the right: 341/2048, 1024/2048, 1707/2048.
    # 0 and 48 at 341: 48 * 341 = 16368 >> 4 = 1023; 1023 * 2048 >> 16 = 31; (31 + 0 + 2) >> 2 = 8.
    # 48 and 96 at 1024: (48 + 96) * 1024 >> 4 = 9216 -> 288 -> 290 >> 2 = 72.
    # 96 and 144 at 1707: 96 * 341 + 144 * 1707 = 278544 >> 4 = 17409 -> 544 -> 546 >> 2 = 136.
    assert resize_bilinear(np.array([[0, 48, 96, 144]], np.uint8), (3, 1)).tolist() == [[8, 72, 136]]


def test_half_the_size_is_the_rounded_mean_of_blocks_and_equal_size_is_kept():
    pixels = np.array([[0, 1, 10, 10], [0, 1, 11, 11]], np.uint8)
    assert resize_bilinear(pixels, (2, 1)).tolist() == [[1, 11]]  # (2 + 2) >> 2 = 1; (42 + 2) >> 2 = 11.
    assert resize_bilinear(pixels, (4, 2)) is pixels


@pytest.mark.parametrize("channel_count", [1, 3, 4])
def test_channels_are_scaled_apart(channel_count):
    pixels = np.random.RandomState(1).randint(0, 256, (60, 50, channel_count)).astype(np.uint8)
    result = resize_bilinear(pixels, (20, 31))
    for channel in range(channel_count):
        assert np.array_equal(result[..., channel], resize_bilinear(pixels[..., channel], (20, 31)))


def test_opencvs_two_roundings_of_the_weights_agree():
    for source in range(1, 1500):
        _, fraction = _positions(source, 160)
        first = np.rint((np.float32(1) - fraction) * np.float32(2048))
        assert np.array_equal(first, 2048 - _weight(fraction)), source


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA"])
def test_a_picture_is_scaled_as_its_array(mode):
    r = np.random.RandomState(4)
    for w, h in [(384, 384), (161, 700), (320, 320), (320, 500), (100, 300), (160, 161), (224, 288)]:
        image = Image.fromarray(r.randint(0, 256, (h, w, 4)).astype(np.uint8)).convert(mode)
        for size in ((160, 160), (48, 31)):
            expected = resize_bilinear(np.asarray(image), size)
            assert np.array_equal(resize_picture(image, size), expected), (w, h, size)


@pytest.mark.parametrize("target", [160, 48])
def test_the_pixels_that_pillow_fetches_are_the_tables_for_every_size(target):
    for side in range(target + 1, 1500):
        row = Image.fromarray(
            np.random.RandomState(side).randint(0, 256, (target + 1, side)).astype(np.uint8)
        )
        for image in (row, row.transpose(Image.TRANSPOSE)):
            expected = resize_bilinear(np.asarray(image), (target, target))
            assert np.array_equal(resize_picture(image, (target, target)), expected), side


def test_the_bilinear_resize_refuses_other_arrays():
    for pixels in (np.zeros((4, 4)), np.zeros((0, 4), np.uint8), np.zeros((4, 4, 3, 1), np.uint8)):
        with pytest.raises(ValueError, match="resize_bilinear takes"):
            resize_bilinear(pixels, (2, 2))


@pytest.mark.parametrize("seed", range(40))
def test_stripes_follow_the_published_cosine(seed):
    r = np.random.RandomState(seed)
    w, h = (int(side) for side in r.randint(1, 200, 2))
    width, density = r.choice([0, 1, 0.25, r.rand()]), 0.8 * r.rand()
    angle = r.choice([0, 45, 90, 180, 270, 360 * r.rand()])
    a, length = math.radians(angle), (1 - density) * min(w, h)
    x, y = np.meshgrid(np.arange(w) - w / 2, np.arange(h) - h / 2)
    level = (np.cos(2 * math.pi * (x * math.sin(a) + y * math.cos(a)) / length) + 1) / 2
    border = (math.cos(math.pi * width) + 1) / 2
    mask = stripe_mask((w, h), width, angle, density)
    clear = np.abs(level - border) > 1e-9
    assert mask.shape == (h, w) and np.array_equal(mask[clear], level[clear] > border)


def test_stripe_types_and_opacity():
    image = Image.new("RGB", (60, 40), (0, 0, 0))
    given = dict(line_width=0.4, line_color=(200, 100, 0), line_angle=30, line_density=0.5, line_opacity=0.5)
    along, across, dash = (
        stripe_mask((60, 40), w, a, 0.5) for w, a in ((0.4, 30), (0.4, 120), (DASH_WIDTH, 120))
    )
    # int(0.5 * 255) = 127 of 255: 200 -> 99.6 and 100 -> 49.8.
    for kind, mask in (("solid", along), ("dotted", along & across), ("dashed", along & dash)):
        out = np.array(overlay_stripes(image, line_type=kind, **given))
        assert np.array_equal(out[..., 0], np.where(mask, 100, 0))
        assert np.array_equal(out[..., 1], np.where(mask, 50, 0))
    assert overlay_stripes(image.convert("L"), line_type="solid", **given).mode == "L"
    with pytest.raises(Refusal, match="line_type"):
        overlay_stripes(image, line_type="wavy", **given)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_opacity_blends_with_white(mode):
    # int(255 * 0.6) = 153: 100 * 153 / 255 + 255 * 102 / 255 = 162.
    image = Image.new("RGB", (2, 2), (100, 100, 100)).convert(mode)
    out = opacity(image, 0.6)
    assert out.mode == mode and out.convert("RGB").getpixel((0, 0)) == (162, 162, 162)
    assert opacity(image, 1.0).tobytes() == image.tobytes()


def test_the_table_of_opacity_is_pillows_blend():
    image = runs.picture("photo0")
    for level in (0.6, 0.77, 0.999):
        white = Image.new("RGBA", image.size, (255, 255, 255, 0))
        mask = Image.new("L", image.size, int(255 * level))
        expected = Image.composite(image.convert("RGBA"), white, mask).convert("RGB")
        assert opacity(image, level).tobytes() == expected.tobytes()


def test_the_inscribed_rectangle():
    assert rotation.inscribed_rectangle((100, 60), 0) == (100, 60)
    # A square turned by 45 degrees holds one of half its diagonal: 100 / sqrt(2).
    assert rotation.inscribed_rectangle((100, 100), 45) == pytest.approx((70.7107, 70.7107), abs=1e-4)
    # A narrow one turned by 30: the middle of the long sides, 0.5 * 20 / sin 30 = 20 by 10 / cos 30.
    assert rotation.inscribed_rectangle((100, 20), 30) == pytest.approx((20, 11.547), abs=1e-3)
    assert rotation.inscribed_rectangle((20, 100), 30) == pytest.approx((11.547, 20), abs=1e-3)


@pytest.mark.parametrize("size", [(384, 384), (301, 200), (97, 350)])
def test_the_turned_size_is_pillows_and_no_corner_stays_black(size):
    image = Image.new("L", size, 255)
    for degrees in (0, 0.5, 37, 45, 90, 128.5, 180, 244.75, 270, 300, 360):
        out = rotation.rotate(image, degrees)
        assert out.size == rotation.rotated_size(size, degrees)
        assert np.mean(np.array(out) == 0) < 0.005


def test_a_screenshot_takes_the_picture_into_its_box():
    template, image = Image.new("RGB", (50, 40), (9, 9, 9)), Image.new("RGB", (10, 20), (200, 0, 0))
    for crop in (True, False):
        # Box 20 x 10: factor min(20 / 10, 10 / 20) = 0.5, so 5 x 10 pixels, (20 - 5) // 2 = 7 or
        # (5 - 20) // 2 = -8 from the left.
        out = np.array(screenshot.overlay_onto_screenshot(image, template, (10, 5, 30, 15), crop))
        left = 8 if crop else 7
        red = np.zeros((40, 50), bool)
        red[5:15, 10 + left : 15 + left] = True
        assert np.array_equal(out[..., 0] == 200, red)
        assert (out[5:15, 10:30][~red[5:15, 10:30]] == 0).all() and (out[0] == 9).all()
    assert screenshot.overlay_onto_screenshot(image.convert("L"), template, (10, 5, 30, 15), True).mode == "L"
    assert template.getpixel((15, 10)) == (9, 9, 9)


class FiveWide:
    """A font whose letters are `pixels` wide and high; text starts 1 pixel lower."""

    def line_height(self, pixels):
        return self.extent("A", pixels)[1]

    def extent(self, string, pixels):
        return len(string) * pixels, pixels + 1

    def glyphs(self, string, pixels):
        return Image.new("L", self.extent(string, pixels), 255).im, (0, 1)


def test_the_meme_caption_shrinks_until_it_fits_and_stands_in_the_middle():
    # From 30 - 10 = 20 by 5: 20 + 1 is too high; 15 * 4 = 60 too wide for 60 - 10; 10 * 4 = 40 by 11 fits.
    assert fitting_size("abcd", FiveWide(), 50, 20) == (10, (40, 11))
    image = Image.new("RGB", (60, 8), (1, 1, 1))
    out = np.array(meme_format(image, "abcd", FiveWide(), (250, 0, 0), 30, (0, 0, 99), 0.5))
    assert out.shape == (38, 60, 3) and (out[30:] == 1).all()
    # x = round((60 - 40) / 2) = 10; y = round((30 - 11) / 2) = 10 (halves to even), and the offset 1.
    at_y, at_x = np.nonzero(out[..., 0] == 250)
    assert (at_y.min(), at_x.min(), at_x.max()) == (11, 10, 49)
    assert (out[:11] == (0, 0, 99)).all()
    with pytest.raises(ValueError, match="no font size"):
        fitting_size("abcd", FiveWide(), -1, 20)


def test_channel_changes_by_hand():
    pixels = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    inverted = channels.invert_channels(pixels, True, False, True)
    assert np.array_equal(inverted[..., 0], 255 - pixels[..., 0])
    assert np.array_equal(inverted[..., 1], pixels[..., 1])
    assert np.array_equal(channels.reorder_channels(pixels, [2, 2, 0])[..., 1], pixels[..., 2])
    for rows, columns in ((1, -2), (-2, 0), (0, 0), (2, 2)):
        red = np.roll(pixels[..., 0], (rows, columns), axis=(0, 1))
        blue = np.roll(pixels[..., 2], (-rows, -columns), axis=(0, 1))
        rolled = np.stack([red, pixels[..., 1], blue], axis=2)
        i, j = abs(rows), abs(columns)
        expected = rolled[i : 5 - i, j : 6 - j]
        assert np.array_equal(channels.shift_channels(pixels, rows, columns), expected)


@pytest.mark.parametrize("size", [(384, 384), (71, 90)])
def test_shuffling_leaves_numpys_generator_as_the_plain_calls_do(size):
    image, state = runs.picture("photo0").resize(size), np.random.RandomState(77)
    out = np.array(shuffle_pixels_as_seeded(image, 0.1, 365, state)).reshape(-1, 3)
    plain, flat = np.random.RandomState(365), np.array(image).reshape(-1, 3)
    mask = plain.choice(len(flat), size=int(0.1 * len(flat)), replace=False)
    moved = flat[mask]
    plain.shuffle(moved)
    flat[mask] = moved
    assert np.array_equal(out, flat) and state.random_sample() == plain.random_sample()


@pytest.mark.parametrize("size", [(30, 50), (50, 30), (31, 50), (40, 40)])
def test_padding_to_a_square(size):
    out = pad_to_square(Image.new("RGB", size), (1, 2, 3))
    assert out.size == padded_size(size, *square_factors(size))
    assert abs(out.width - out.height) <= 1


def test_the_box_without_border():
    assert box_without_border((40, 30), 0.0) == (0, 0, 40, 30)
    # 384 x 384, sigma 15 and seed 672 gave 367 x 351 in a recorded run.
    left, top, right, bottom = box_without_border((384, 384), 15.0, 672)
    assert (right - left, bottom - top) == (367, 351)
    assert box_without_border((2, 2), 1000.0, 5) is None


def test_shortcuts_for_rgb_give_the_pixels_of_the_way_over_rgba():
    """AugLy goes by RGBA and drops alpha at the end; RGB pictures take a shorter way here."""
    image, other = runs.picture("photo0"), runs.picture("T900001")
    for opacity_, size, x, y in ((0.37, 0.5, 0.7, 0.2), (1.0, 0.9, 0.5, 0.5)):
        short = overlay_image(image, other, opacity_, size, x, y, AUGLY_0_1_10)
        assert short.tobytes() == overlay_image(image, other, opacity_, size, x, y).convert("RGB").tobytes()
    font = runs.assets().font("Impact")
    given = dict(font_size=0.3, opacity=0.4, color=(10, 200, 30), x_pos=0.1, y_pos=0.2)
    short = overlay_text(image, [3, 40, 7], font, version=AUGLY_0_1_10, **given)
    assert short.tobytes() == overlay_text(image, [3, 40, 7], font, **given).convert("RGB").tobytes()


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "L", "CMYK"])
def test_overlays_of_all_modes_on_rgb_give_the_pixels_of_the_way_over_rgba(mode):
    image, assets = runs.picture("photo0"), runs.assets()
    names = [name for name in assets.emoji_names if assets.emoji(name).mode == mode]
    others = [assets.emoji(names[0])] if names else [runs.picture("T900001").convert(mode)]
    for other in others:
        for opacity_, size, x, y in ((0.37, 0.5, 0.7, 0.2), (1.0, 0.9, 0.5, 0.5)):
            short = overlay_image(image, other, opacity_, size, x, y, AUGLY_0_1_10)
            long = overlay_image(image, other, opacity_, size, x, y).convert("RGB")
            assert short.mode == "RGB" and short.tobytes() == long.tobytes()


def test_a_part_of_a_perspective_is_that_of_the_whole():
    image = runs.picture("photo1")
    whole = perspective_transform(image, 20.0, 3)
    part = perspective_transform(image, 20.0, 3, (301, 287))
    assert part.size == (301, 287) and part.tobytes() == whole.crop((0, 0, 301, 287)).tobytes()


def test_jitter_is_brightness_then_contrast_then_saturation():
    # Brightness 0.5: 100, 40 -> 50, 20; their grey mean 35; contrast 2 about 35: 65, 5; grey keeps its grey.
    image = Image.new("RGB", (2, 1), (100, 100, 100))
    image.putpixel((1, 0), (40, 40, 40))
    out = jitter_in_order(image, 0.5, 2.0, 3.0)
    assert [out.getpixel((x, 0)) for x in (0, 1)] == [(65, 65, 65), (5, 5, 5)]
    assert jitter_in_order(image.convert("CMYK"), 0.5, 2.0, 3.0).mode == "CMYK"
