"""Training transforms against the published outputs, and each step by hand."""

import hashlib
import json
import pickle
import random

import numpy as np
import pytest
from golden_files import golden
from PIL import Image
from reid_pictures import params

from encore.systems.reid.augmentation import Augmentation, Crop, Draws, Rotation, gaussian_noise

ALL_H = {
    "mirror": True,
    "colour_jiterring": True,
    "crop_h": 32,
    "crop_w": 16,
    "padding_h": 2,
    "padding_w": 1,
    "random_erasing": True,
    "rotation": 10,
    "gaussian_noise": True,
}


def parts(state):
    with open(str(golden("reid/parts_%s.json" % state))) as file:
        return json.load(file)


class Scripted:
    """Draws of Python's `random` that return given values in turn."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self):
        return self.values.pop(0)

    def uniform(self, low, high):
        return self.values.pop(0)

    randint = uniform

    def shuffle(self, entries):
        entries.reverse()


def scripted(*values):
    return Draws(Scripted(*values), np.random.RandomState(0))


def of(state, chosen, pixels, draws):
    """uint8 (h, w, 3) after the steps of `chosen`."""
    plain = {"mirror": False, "rotation": 0}
    augmentation = Augmentation(params(state, data_augmentation=dict(plain, **chosen)))
    return augmentation.augmented(pixels, draws).numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("state", ["S", "H"])
def test_the_published_transform(state):
    augmentation = Augmentation(params(state, img_h=256, img_w=128, data_augmentation={"mirror": False}))
    with Image.open(str(golden("reid/image_128x64.png"))) as image:
        pixels = augmentation(image.convert("RGB"), Draws.seeded(0))
    found = augmentation.normalised(pixels[None])[0].numpy()
    expected = parts(state)["train_transform_256x128"]
    assert list(found.shape) == expected["shape"] and found.dtype == np.float32
    level = 1 / 255 / 0.225
    assert np.abs(found.ravel()[:16] - expected["first16"]).max() < level / 100
    assert abs(found.astype(np.float64).sum() - expected["sum"]) < 0.1
    with np.load(str(golden("reid/parts_%s.npz" % state))) as arrays:
        rows = arrays["train_transform_256x128_sub4"]
    assert np.abs(found[:, ::4, ::4] - rows).max() < level / 100


def test_without_imagenet_statistics():
    static = params("H", img_h=256, img_w=128, data_augmentation={"mirror": False, "imagenet_static": False})
    augmentation = Augmentation(static)
    with Image.open(str(golden("reid/image_128x64.png"))) as image:
        found = augmentation.normalised(augmentation(image.convert("RGB"), Draws.seeded(0))[None])[0].numpy()
    expected = parts("H")["train_transform_static_false"]
    assert np.abs(found.ravel()[:16] - expected["first16"]).max() < 1e-5
    assert abs(found.astype(np.float64).sum() - expected["sum"]) < 0.1


def test_published_noise():
    pixels = np.zeros((24, 12, 3), np.uint8)
    pixels[:, 6:] = 128
    for row in parts("H")["gaussian_noise"]:
        found = gaussian_noise(pixels, Draws(random.Random(row["seed"]), np.random.RandomState(row["seed"])))
        assert int((found != pixels).sum()) == row["changed"] and int((found == 255).sum()) == row["n255"]
        assert int(found.sum()) == row["sum"]
        assert hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest() == row["sha256"]


def picture():
    return np.random.RandomState(3).randint(1, 256, (32, 16, 3)).astype(np.uint8)


def test_flip_rotation_and_erasing_of_both_states():
    pixels = picture()
    for state in ("S", "H"):
        assert (of(state, {"mirror": True}, pixels, scripted(0.49)) == pixels[:, ::-1]).all()
        assert (of(state, {"mirror": True}, pixels, scripted(0.5)) == pixels).all()
        turned = of(state, {"rotation": 180}, pixels, scripted(180))
        assert (turned == pixels[::-1, ::-1]).all()
        # 512 pixels, a share of .0625 is 32; aspect 2: 8 x 4, at 3, 5
        erased = of(state, {"random_erasing": True}, pixels, scripted(0, 0.0625, 2, 3, 5))
        assert (erased[3:11, 5:9] == 0).all() and (erased == 0).sum() == 8 * 4 * 3


def test_pad_and_crop_of_the_later_state_by_hand():
    pixels = picture()
    chosen = {"padding_h": 3, "padding_w": 2, "crop_h": 32, "crop_w": 16}
    found = of("H", chosen, pixels, scripted(5, 1))  # rows 5 to 37 of 38, columns 1 to 17 of 20
    assert found.shape == (32, 16, 3) and (found[:30, 1:] == pixels[2:, :15]).all()
    assert (found[30:] == 0).all() and (found[:, 0] == 0).all()
    padded = of("H", {"padding_h": 3, "padding_w": 2}, pixels, scripted())
    assert padded.shape == (38, 20, 3) and (padded[3:35, 2:18] == pixels).all() and padded[:3].sum() == 0
    assert (of("H", {"padding_h": 3}, pixels, scripted()) == pixels).all()  # published: both must be set
    assert (Crop(32, 16)(pixels, scripted()) == pixels).all()  # nothing is drawn
    augmentation = Augmentation(params("H", data_augmentation=dict(chosen, crop_h=20)))
    assert (augmentation.height, augmentation.width) == (20, 16)


def test_jitter_by_hand():
    pixels = np.full((32, 16, 3), 100, np.uint8)
    # drawn: brightness .9, contrast 1.1, saturation 1; reversed: grey stays, contrast of a flat picture
    # stays, then 90
    found = of("H", {"colour_jiterring": True}, pixels, scripted(0.9, 1.1, 1.0))
    assert (found == 90).all()
    assert (of("S", {"colour_jiterring": True}, pixels, scripted()) == pixels).all()


def test_the_order_of_the_later_state():
    """Each step marks its turn by what it draws from one stream."""
    draws, calls = Draws.seeded(5), []

    class Traced(random.Random):
        def uniform(self, low, high):
            calls.append((round(low, 3), round(high, 3)))
            return super().uniform(low, high)

        def randint(self, low, high):
            calls.append(("int", low, high))
            return super().randint(low, high)

        def shuffle(self, entries):
            calls.append("shuffle")

    augmentation = Augmentation(params("H", data_augmentation=ALL_H))
    augmentation.augmented(picture(), draws._replace(python=Traced(4)))
    # crop; rotation (the flip before it draws by random()); erasing's gate, share, aspect and place;
    # jitter; noise
    assert calls[:3] == [("int", 0, 4), ("int", 0, 2), (-10, 10)]
    assert calls[3:6] == [(0, 1), (0.02, 0.1), (0.3, 3.333)] and calls[-1] == (0, 1)
    assert calls[-5:-1] == [(0.9, 1.1), (0.9, 1.1), (0.9, 1.1), "shuffle"]


def test_draws_decide_and_nothing_else():
    augmentation = Augmentation(params("H", data_augmentation=ALL_H))
    copy, pixels = pickle.loads(pickle.dumps(augmentation)), picture()
    before = random.getstate(), np.random.get_state()[1].tolist()
    first = [augmentation.augmented(pixels, Draws.seeded(seed)).numpy().tobytes() for seed in range(20)]
    assert len(set(first)) == 20 and (pixels == picture()).all()
    assert first == [copy.augmented(pixels, Draws.seeded(seed)).numpy().tobytes() for seed in range(20)]
    assert before == (random.getstate(), np.random.get_state()[1].tolist())


def test_rotation_keeps_the_size():
    assert Rotation(30)(picture(), scripted(17.5)).shape == (32, 16, 3)
