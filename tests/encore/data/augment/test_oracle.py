"""Encore's operations against torchvision 0.8.2 and AugLy 0.1.4 themselves, where both are installed.

ENCORE_ORACLE_SEEDS sets the number of random parameter sets (default 50).
"""

from __future__ import annotations

import glob
import importlib.util
import os
import random
import re
import warnings

import numpy as np
import pytest
from PIL import Image, features

from encore.data.augment import colour, crop, overlays, perspective, pixels
from encore.data.augment.draws import Draws
from encore.data.augment.gates import RandomApply, RandomBelow
from tests.encore.data.augment import published_runs as runs


def installed_release(package):
    """The release of a package from its metadata folder's name: a torchvision for another torch fails to
    import.
    """
    found = importlib.util.find_spec(package)
    if found is None:
        return "none"
    site = os.path.dirname(os.path.dirname(found.origin))
    folders = [os.path.basename(path) for path in glob.glob(os.path.join(site, package + "-*.dist-info"))]
    return re.sub("^{}-(.*?)([+].*)?[.]dist-info$".format(package), r"\1", folders[0]) if folders else "none"


for package, release in (("torchvision", "0.8.2"), ("augly", "0.1.4")):
    if installed_release(package) != release:
        reason = "needs {} {}, found {}".format(package, release, installed_release(package))
        pytest.skip(reason, allow_module_level=True)
torch = pytest.importorskip("torch")
transforms = pytest.importorskip("torchvision.transforms")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    functional = pytest.importorskip("augly.image.functional")

SEEDS = range(int(os.environ.get("ENCORE_ORACLE_SEEDS", "50")))


def picture(seed):
    """A crop of a photograph, of random size and of mode RGB or L."""
    rng = random.Random(seed)
    image = runs.picture("inputs/" + rng.choice(runs.INPUTS))
    width, height = rng.randint(20, 370), rng.randint(20, 370)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height)), rng


def assert_same(found, expected):
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert found.tobytes() == expected.tobytes()


def assert_same_random_step(step, theirs, image, seed):
    """Theirs with the global generator seeded, ours with private draws: same pixels and draws consumed."""
    torch.manual_seed(seed)
    expected = theirs(image)
    draws = Draws(seed)
    assert_same(step(image, draws), expected)
    assert draws.rand() == torch.rand(1).item()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_resized_crop(seed):
    image, rng = picture(seed)
    size = rng.choice([1, 32, 224, 256])
    ours = crop.RandomResizedCrop(size)
    theirs = transforms.RandomResizedCrop(size, scale=(0.2, 1))
    torch.manual_seed(seed)
    top, left, height, width = theirs.get_params(image, theirs.scale, theirs.ratio)
    box = ours.box(image.size, Draws(seed))
    # torch's float32 log and exp may be off by one unit in the last place on some processors; boxes are
    # whole pixels.
    assert box == (left, top, left + width, top + height)
    assert_same_random_step(ours, theirs, image, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_narrow_pictures_take_the_centre(seed):
    rng = random.Random(seed)
    image = Image.new("RGB", (rng.randint(1, 4), rng.randint(40, 200)), (seed % 256, 20, 30))
    image = image if seed % 2 else image.transpose(Image.ROTATE_90)
    assert_same_random_step(
        crop.RandomResizedCrop(16), transforms.RandomResizedCrop(16, scale=(0.2, 1)), image, seed
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_color_jitter(seed):
    image, rng = picture(seed)
    strengths = [
        rng.choice([0, 0.1, 0.5, 1.0]),
        rng.choice([0, 0.5]),
        rng.choice([0, 0.3]),
        rng.choice([0, 0.2, 0.5]),
    ]
    ours = colour.ColorJitter(
        *[colour.around_one(s) for s in strengths[:3]] + [colour.around_zero(strengths[3])]
    )
    assert_same_random_step(ours, transforms.ColorJitter(*strengths), image, seed)
    assert_same_random_step(
        colour.ColorJitter((0.1, 0.5)), transforms.ColorJitter((0.1, 0.5), 0, 0, 0), image, seed
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_gates_rotation_grey_and_flip(seed):
    image, rng = picture(seed)
    p = rng.choice([0, 0.3, 0.5, 1.0, rng.random()])

    def rotate(picture, draws):
        return picture.rotate(draws.uniform_(-50.0, 50.0), Image.NEAREST)

    ours = [
        RandomApply(p, rotate),
        RandomBelow(p, lambda picture, draws: colour.grayscale(picture)),
        RandomBelow(p, lambda picture, draws: picture.transpose(Image.FLIP_LEFT_RIGHT)),
    ]
    theirs = transforms.Compose(
        [
            transforms.RandomApply([transforms.RandomRotation(50)], p),
            transforms.RandomGrayscale(p),
            transforms.RandomHorizontalFlip(p),
        ]
    )

    def in_a_row(picture, draws):
        for gate in ours:
            picture, _ = gate(picture, draws)
        return picture

    assert_same_random_step(in_a_row, theirs, image, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_and_perspective(seed):
    image, rng = picture(seed)
    ratio, factor, sigma = rng.uniform(0.1, 1.2), rng.choice([0.0, 1.0, rng.random()]), rng.uniform(0, 60)
    w_factor, h_factor, color = (
        rng.uniform(0, 0.5),
        rng.uniform(0, 0.5),
        tuple(rng.randint(0, 255) for _ in range(3)),
    )
    assert_same(pixels.pixelization(image, ratio), functional.pixelization(image, ratio=ratio))
    assert_same(
        pixels.pad(image, w_factor, h_factor, color), functional.pad(image, None, w_factor, h_factor, color)
    )
    assert_same(
        perspective.perspective_transform(image, sigma), functional.perspective_transform(image, sigma=sigma)
    )
    state = np.random.get_state()
    ours = pixels.shuffle_pixels(image, factor)
    assert np.array_equal(np.random.get_state()[1], state[1])
    try:
        assert_same(ours, functional.shuffle_pixels(image, factor=factor, seed=pixels.SHUFFLE_SEED))
    finally:
        np.random.set_state(state)


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "LA", "P", "1", "I"])
@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1), (9, 7)])
def test_shuffle_pixels_of_other_modes_and_thin_pictures(mode, size):
    image = Image.fromarray(
        np.random.RandomState(0).randint(0, 256, size[::-1] + (3,)).astype(np.uint8)
    ).convert(mode)
    state = np.random.get_state()
    try:
        expected = functional.shuffle_pixels(image, factor=0.8)
    except (IndexError, TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            pixels.shuffle_pixels(image, 0.8)
    else:
        assert_same(pixels.shuffle_pixels(image, 0.8), expected)
    finally:
        np.random.set_state(state)


@pytest.mark.parametrize("seed", SEEDS)
def test_overlays(seed):
    image, rng = picture(seed)
    if seed % 3 == 0:
        image = image.convert("RGBA")
        image.putalpha(image.convert("L"))
    other = rng.choice(runs.local_foreign())
    opacity, size, x, y = rng.random(), rng.random(), rng.random(), rng.random()
    if int(other.width * max(1, int(image.height * size)) / other.height) == 0:
        # An overlay of no width: both raise.
        for overlay in (overlays.overlay_image, functional.overlay_image):
            with pytest.raises(ValueError):
                overlay(image, other, opacity=opacity, overlay_size=size, x_pos=x, y_pos=y)
    else:
        assert_same(
            overlays.overlay_image(image, other, opacity, size, x, y),
            functional.overlay_image(image, other, None, opacity, size, x, y),
        )
    installed = runs.assets("basic")
    name = rng.choice(installed.emoji_names)
    path = os.path.join(installed.folder, "twemojis", "smileys", name)
    assert_same(
        overlays.overlay_emoji(image, installed.emoji(name), opacity, size, x, y),
        functional.overlay_emoji(image, None, path, opacity, size, x, y),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_text(seed):
    image, rng = picture(seed)
    text = [rng.randint(0, 1100) for _ in range(rng.randint(0, 20))]
    size, opacity, x, y = rng.choice([0.0, rng.random()]), rng.random(), rng.random() / 2, rng.random() / 2
    color = [rng.randint(0, 255) for _ in range(3)]
    installed = runs.assets("raqm" if features.check("raqm") else "basic")
    assert_same(
        overlays.overlay_text(image, text, installed.font, size, opacity, color, x, y),
        functional.overlay_text(image, None, text, installed.font.path, size, opacity, color, x, y),
    )
