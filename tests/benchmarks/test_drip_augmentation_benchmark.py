import random

import numpy as np

from benchmarks import drip_augmentation


def test_both_sides_are_measured_and_make_the_same_pictures(monkeypatch):
    monkeypatch.setattr(drip_augmentation, "WARM", 1)
    found = drip_augmentation.run(pictures=30, rounds=1)
    assert found["differing_pictures"] == 0
    assert found["images_per_second"] > 0 and found["augly_images_per_second"] > 0
    assert found["ratio_lowest"] == found["ratio"] == found["ratio_highest"] > 0


def test_augly_has_every_step_and_makes_its_pixels():
    chain, augly = drip_augmentation.sides()
    source, missing = drip_augmentation._picture("photo1"), set(STEPS)
    for seed in range(3000):
        image = source if seed % 2 else source.crop((0, 0, 79 + seed % 200, 300))
        steps = list(chain.draws(random.Random(seed), image.size, 3))
        if not missing & {step.name for step in steps}:
            continue
        missing -= {step.name for step in steps}
        result = chain(image, random.Random(seed), np.random.RandomState(0)).pixels
        for step in steps[:-1] if steps[-1].name == "final_resize" else steps:
            image = augly(image, step)
        expected = drip_augmentation.resize_bilinear(np.ascontiguousarray(image), chain.size)
        assert np.array_equal(result, expected), steps
    assert not missing


def test_another_picture_is_told():
    chain, augly = drip_augmentation.sides()
    source = drip_augmentation._picture("photo0")
    augly.hflip = lambda image: image
    differs = [drip_augmentation.timed(seed, [source], chain, augly)[2] for seed in range(8)]
    flips = [_flips(chain, seed) for seed in range(8)]
    assert differs == flips and any(flips) and not all(flips)


def _flips(chain, seed):
    return any(step.name == "hflip" for step in chain.draws(random.Random(seed), (384, 384), 3))


STEPS = """scale rotate perspective_transform encoding_quality color_jitter grayscale opacity resize crop pad
    pad_square overlay_image blur sharpen shuffle_pixels overlay_stripes overlay_emoji overlay_text
    pixelization hflip vflip meme_format overlay_onto_screenshot invert_channel swap_channels
    shift_channels""".split()
