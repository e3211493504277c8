import collections
import random

import numpy as np
import pytest
from PIL import Image

from encore.data.augment.drip_chain import RETRIES
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.drip import class_views
from encore.systems.drip.class_views import ClassViews, KeptPictures
from encore.systems.drip.clean_view import NORMALISATIONS, normalised
from encore.systems.drip.samples import SampleIds, TrainingSamples
from tests.encore.data.augment import drip_golden
from tests.encore.systems.drip.drip_stage_pictures import SIZE, samples, views, write_pictures
from tests.golden_files import golden


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("drip") / "pictures")


class Photos:
    """The published photographs as classes T000000 and T000001, and the published overlay pool."""

    def open(self, sample_id):
        return drip_golden.picture("photo" + sample_id[-1])


def published_views(intensity):
    ids = SampleIds.numbered("T", [0, 1])
    given = TrainingSamples(ids, SampleIds(drip_golden.recorded()["pool"]))
    return ClassViews(given, Photos(), drip_golden.chain(intensity))


def test_the_clean_view_is_the_published_one():
    for class_ in range(2):
        pixels = np.asarray(Image.open(str(golden("drip/ref160_photo%d.png" % class_))))
        found = published_views(0.5).clean(class_)
        assert found.dtype == np.float32 and found.shape == (3, 160, 160)
        np.testing.assert_array_equal(found, normalised(pixels))


def test_the_augmented_view_is_the_chain_s_with_generators_of_the_seed():
    for case in drip_golden.recorded()["cases"][:12]:
        expected, _, _ = drip_golden.replay(case)
        found, raised = published_views(case["intensity"]).augmented(int(case["photo"][-1]), case["seed"])
        assert found.dtype == np.float32 and raised == expected.raised
        np.testing.assert_array_equal(found, normalised(expected.pixels))


def test_a_seed_of_63_bits_decides_on_both_generators(root):
    made = views(root)
    seed = derive_seed(3, "drip", "view", "training", 0, 1)
    assert seed > 2**32
    pixels, raised = made.augmented_pixels(1, seed)
    again = made.chain(
        made.pictures.open("T000001"), random.Random(seed), np.random.RandomState(seed % 2**32)
    )
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), again.pixels[:, :, :3])
    assert raised == again.raised


def test_size_normalisation_and_number_of_classes(root):
    pixels = views(root).clean_pixels(2)
    assert pixels.dtype == np.uint8 and pixels.shape == (3, SIZE, SIZE)
    for mode in NORMALISATIONS:
        found = views(root, normalisation=mode).clean(2)
        np.testing.assert_array_equal(found, normalised(pixels.transpose(1, 2, 0), mode))
    assert len(views(root, classes=5)) == 5
    with pytest.raises(ValueError, match="chain for 64 x 64"):
        ClassViews(samples(), None, views(root).chain, size=64)


# Steps after which the channel steps may come: neither grey nor a screenshot before them. The screenshot
# itself comes only without an overlay and without a perspective.
GATED = {
    "color_jitter": lambda i: 0.20,
    "hflip": lambda i: 0.50,
    "perspective_transform": lambda i: 0.10 * i,
    "crop": lambda i: 0.10 * i * (1 - 0.10 * i),
    "overlay_image": lambda i: 0.10 * i * (1 - 0.10 * i),
    "meme_format": lambda i: 0.10 * i * (1 - 0.10 * i + 0.01 * i**2),
    "overlay_onto_screenshot": lambda i: 0.05 * i * (1 - 0.10 * i) ** 2,
    "invert_channel": lambda i: channel_step(i),
    "swap_channels": lambda i: channel_step(i),
    "shift_channels": lambda i: channel_step(i),
}


def channel_step(i):
    return 0.05 * i * (1 - 0.10 * i) * (1 - 0.05 * i * (1 - 0.10 * i) ** 2)


@pytest.mark.parametrize("intensity", [0.5, 0.75, 1.0])
def test_steps_of_addressed_views_fire_within_binomial_bounds(intensity):
    chain, fired, count = drip_golden.chain(intensity), collections.Counter(), 4000
    for class_ in range(count):
        rng = random.Random(derive_seed(0, "drip", "view", "training", 0, class_))
        fired.update({step.name for step in chain.draws(rng, (384, 384), 3)})
    for name, probability in GATED.items():
        p = probability(intensity)
        assert abs(fired[name] - count * p) < 4 * (count * p * (1 - p)) ** 0.5, (name, fired[name], count * p)


def test_no_step_raises_under_these_libraries(root):
    made = views(root, intensity=1.0)
    raised = collections.Counter()
    for seed in range(250):
        raised.update(made.augmented_pixels(seed % 8, seed)[1])
    # Of pictures as small as these a perspective without a border may leave nothing (published: drawn anew).
    assert set(raised) <= {"perspective_transform"} and sum(raised.values()) <= 5


def test_kept_pictures_change_no_pixel_and_are_decoded_once(root, monkeypatch):
    opened = collections.Counter()
    unpatched = class_views.SamplePictures.open

    def counted(self, sample_id):
        opened[sample_id] += 1
        return unpatched(self, sample_id)

    monkeypatch.setattr(class_views.SamplePictures, "open", counted)
    found = {}
    for keep_bytes in (0, 10**9):
        opened.clear()
        made = views(root, intensity=1.0, keep_bytes=keep_bytes)
        found[keep_bytes] = [made.augmented_pixels(seed % 8, seed) for seed in range(160)]
        decoded = max(opened.values())
        assert decoded == 1 if keep_bytes else decoded >= 20
    for (one, raised), (other, raised_too) in zip(*found.values()):
        np.testing.assert_array_equal(one, other)
        assert raised == raised_too


def test_templates_are_kept_too(root):
    seed = next(
        seed
        for seed in range(1000)
        if any(
            step.name == "overlay_onto_screenshot"
            for step in drip_golden.chain(1.0).draws(random.Random(seed), (96, 96), 3)
        )
    )
    one, kept = views(root, intensity=1.0), views(root, intensity=1.0, keep_bytes=10**9)
    for _ in range(2):
        np.testing.assert_array_equal(one.augmented_pixels(0, seed)[0], kept.augmented_pixels(0, seed)[0])
    templates = kept.chain.sources.templates
    assert any(template.open() is template.open() for template in templates)
    assert not any(template.open() is template.open() for template in one.chain.sources.templates)


def test_kept_bytes_are_bounded():
    kept, made = KeptPictures(2 * 300), []

    def make(key):
        made.append(key)
        return Image.new("RGB", (10, 10))

    for key in (1, 2, 3, 1, 2, 3):
        kept.get(key, make)
    assert made == [1, 2, 3, 3]  # there is room for two pictures of 300 bytes


def test_missing_pictures_are_refused_before_any_work(root):
    with pytest.raises(Refusal, match=r"no T000008.jpg \(2 pictures such\): put the picture there"):
        views(root, classes=10)
    short = TrainingSamples(samples().classes, SampleIds.numbered("I", [3, 4]))
    with pytest.raises(Refusal, match="no I0000004.jpg"):
        class_views.build_views(short, root, drip_golden.assets(), [], 0.5)


class OnePicture:
    def __init__(self, mode):
        self.picture = Image.new(mode, (90, 90))

    def open(self, sample_id):
        return self.picture


def test_a_picture_of_two_channels_is_refused_by_name(root):
    made = ClassViews(samples(), OnePicture("LA"), views(root).chain, size=SIZE)
    with pytest.raises(Refusal, match="T000003: .* make this picture RGB or grey"):
        made.clean(3)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA"])
def test_published_quirk_other_modes_become_three_channels(root, mode):
    made = ClassViews(samples(), OnePicture(mode), views(root).chain, size=SIZE)
    assert made.clean(0).shape == (3, SIZE, SIZE)
    assert made.augmented(0, 1)[0].shape == (3, SIZE, SIZE)


def test_an_augmentation_that_always_fails_is_refused_by_name(root):
    made = views(root)

    def broken(image, draws, numpy_state, steps):
        steps.append(next(iter(draws)))
        raise OSError("no more")

    made.chain._attempt = broken
    match = "T000002: {} augmentations in a row failed, the last one with OSError: no more".format(
        RETRIES + 1
    )
    with pytest.raises(Refusal, match=match):
        made.augmented(2, 0)
