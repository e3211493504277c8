import random

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from encore.data import two_views
from encore.data.augment.draws import TracedDraws
from encore.data.two_views import View, momentum2_views, published_views


@pytest.mark.parametrize("size", [(40, 30), (3, 200), (1, 1)])
def test_views_have_the_size_and_follow_their_generator(size):
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8))
    for view in published_views(24):
        first, again, other = (view(image, random.Random(seed)) for seed in (1, 1, 2))
        assert first.size == (24, 24) and first.mode == "RGB"
        assert np.array_equal(np.asarray(first), np.asarray(again))
        if size != (1, 1):
            assert not np.array_equal(np.asarray(first), np.asarray(other))


def test_the_second_view_is_solarised_in_a_fifth():
    white = Image.new("RGB", (16, 16), (250, 250, 250))
    view = View(16, blur=0.0, solarise=0.2)
    dark = sum(np.asarray(view(white, random.Random(seed))).mean() < 110 for seed in range(500))
    assert 70 <= dark <= 130  # 100 expected, 9 standard deviation
    assert all(np.asarray(View(16, blur=0.0)(white, random.Random(seed))).mean() > 110 for seed in range(100))


def traced(view, image, seed):
    """The picture, and every draw in order."""
    seen = []

    class Kept(TracedDraws):
        def __init__(self, value):
            super().__init__(value)
            seen.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_views, "Draws", Kept)
        picture = view(image, seed)
    return picture, seen[0].trace


def photo(width=60, height=45):
    draw = np.random.RandomState(0)
    small = Image.fromarray(draw.randint(0, 256, (5, 7, 3)).astype(np.uint8))
    return small.resize((width, height), Image.BILINEAR)


def literally_adjusted(image, which, factor):
    if which < 3:
        return (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which](image).enhance(
            factor
        )
    bands = np.array(image.convert("HSV"))
    bands[..., 0] += np.uint8(int(factor * 255) & 255)
    return Image.fromarray(bands, "HSV").convert("RGB")


def literal(image, trace, size):
    """The view by Pillow's own operations, from a list of draws in the published order."""
    draws = iter(trace)

    def take(kind):
        entry = next(draws)
        assert entry[0] == kind, entry
        return entry[-1]

    width, height = image.size
    while True:
        area = width * height * take("torch.uniform_")
        ratio = np.exp(take("torch.uniform_"))
        w, h = int(round((area * ratio) ** 0.5)), int(round((area / ratio) ** 0.5))
        if 0 < w <= width and 0 < h <= height:
            top, left = take("torch.randint"), take("torch.randint")
            break
    # down to the width first, as Pillow does up to 12
    image = image.crop((left, top, left + w, top + h)).resize((size, h), Image.BILINEAR)
    image = image.resize((size, size), Image.BILINEAR)
    if take("torch.rand") <= 0.8:
        for which in take("torch.randperm"):
            image = literally_adjusted(image, which, take("torch.uniform_"))
    if take("torch.rand") <= 0.1:
        image = image.filter(ImageFilter.GaussianBlur(take("random.uniform")))
    if take("torch.rand") < 0.2:
        image = image.convert("L").convert("RGB")
    if take("torch.rand") < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    if take("torch.rand") <= 0.2:
        image = ImageOps.solarize(image, 128)
    assert next(draws, None) is None
    return image


def test_the_second_view_of_momentum2_teacher_step_by_step():
    _, view = momentum2_views(20)
    image = photo()
    for seed in range(60):
        picture, trace = traced(view, image, seed)
        assert picture.size == (20, 20) and picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), np.asarray(literal(image, trace, 20))), seed


def test_the_first_view_of_momentum2_teacher_is_always_blurred_and_never_solarised():
    view, other = momentum2_views(20)
    assert (view.blur, view.solarise, other.blur, other.solarise) == (1.0, 0.0, 0.1, 0.2)
    for seed in range(40):
        _, trace = traced(view, photo(), seed)
        assert [entry[0] for entry in trace].count("random.uniform") == 1
        after = [entry[0] for entry in trace].index("random.uniform") + 1
        assert [entry[0] for entry in trace[after:]] == ["torch.rand"] * 2  # grey, flip
