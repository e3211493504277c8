import io
import json
import math

import numpy as np
import pytest
import torch
from golden_files import FOLDER, golden
from PIL import Image

from encore.data.class_folders import ClassFolders
from encore.detection.torchvision_nms import load_torchvision
from encore.runtime.refusal import Refusal
from encore.systems.fkd.crops import CropBox, check_scale, cropped, draw_crop, draw_flip, restored, stored

SETS = ("cutmix_fp16", "mixup_fp16", "none_fp32", "cutmix_fp32", "cutmix_fp16_224", "mixup_fp16_224")


def test_the_stored_fractions_give_every_box_back():
    """120,000 boxes in pictures of 32 to 500 pixels; truncation, the obvious mistake, must fail for many."""
    random = np.random.RandomState(7)
    sides, draws = random.randint(32, 501, (120000, 2)), random.random_sample((120000, 4))
    truncated = 0
    for (height, width), (a, b, c, d) in zip(sides.tolist(), draws.tolist()):
        h, w = 1 + int(a * height), 1 + int(b * width)
        box = CropBox(int(c * (height - h + 1)), int(d * (width - w + 1)), h, w)
        coords = stored(box, height, width)
        assert restored(coords, height, width) == box
        top, left, h, w = coords.tolist()
        truncated += box != (int(top * height), int(left * width), int(h * height), int(w * width))
    assert truncated > 40000


@pytest.mark.parametrize("name", SETS)
def test_boxes_of_the_published_generator(name):
    images = ClassFolders(FOLDER / "fkd/images")
    for row in json.loads(golden("fkd/relabel/%s.json" % name).read_text())["rows"]:
        boxes = row["crop_top_left_height_width"]
        for index, coords, box in zip(row["indices"], row["coords"], boxes):
            width, height = Image.open(io.BytesIO(images.read(index))).size
            coords = np.array(coords, np.float32)
            assert restored(coords, height, width) == tuple(box)
            assert np.array_equal(stored(tuple(box), height, width), coords)


@pytest.mark.parametrize("coords", [(0, 0, 1, float("nan")), (0.5, 0, 0.6, 1), (0, 0, 0, 1), (-0.1, 0, 1, 1)])
def test_what_is_no_crop(coords):
    with pytest.raises(ValueError, match="crop"):
        restored(np.array(coords, np.float32), 100, 100)


@pytest.mark.parametrize("sides", [(224, 224), (96, 160), (500, 40), (30, 300)])
def test_draws_are_those_of_torchvision(sides):
    """Box and flip, from the same generator state: the long and narrow pictures reach the central crop."""
    transforms = load_torchvision().transforms
    picture = Image.new("RGB", (sides[1], sides[0]))
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(5)
    for _ in range(50):
        box = transforms.RandomResizedCrop.get_params(picture, (0.08, 1.0), (3 / 4, 4 / 3))
        flip = bool(torch.rand(1) < 0.5)
        assert draw_crop(sides[0], sides[1], (0.08, 1.0), generator) == tuple(box)
        assert draw_flip(generator) == flip


def test_draws_cover_the_picture():
    generator = torch.Generator().manual_seed(0)
    boxes = [draw_crop(120, 120, (0.08, 1.0), generator) for _ in range(4000)]
    assert all(box.top + box.height <= 120 and box.left + box.width <= 120 for box in boxes)
    ratios = np.log([box.width / box.height for box in boxes])
    assert abs(ratios.mean()) < 0.02 and abs(ratios).max() < math.log(4 / 3) + 0.1
    areas = np.array([box.width * box.height / 14400 for box in boxes])
    assert 0.07 < areas.min() < 0.1 and 0.9 < areas.max()
    flips = [draw_flip(generator) for _ in range(4000)]
    assert abs(np.mean(flips) - 0.5) < 0.04


@pytest.mark.parametrize("size", [24, 64, 224])
@pytest.mark.parametrize("flip", [False, True])
def test_crop_is_pillows_crop_then_resize(size, flip):
    random = np.random.RandomState(size)
    picture = Image.fromarray(random.randint(0, 256, (90, 131, 3), dtype=np.uint8))
    for box in (
        CropBox(0, 0, 90, 131),
        CropBox(10, 20, 24, 24),
        CropBox(3, 90, 80, 40),
        CropBox(9, 0, 9, 99),
    ):
        out = np.zeros((3, size, size), np.uint8)
        cropped(picture, CropBox(*box), flip, size, out)
        top, left, height, width = box
        expected = picture.crop((left, top, left + width, top + height))
        if expected.width != size:  # horizontal, then vertical: Pillow up to 12
            expected = expected.resize((size, height), Image.BILINEAR)
        expected = expected.resize((size, size), Image.BILINEAR)
        if flip:
            expected = expected.transpose(Image.FLIP_LEFT_RIGHT)
        assert np.array_equal(out, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize("scale", [(0, 1), (0.5, 0.4), (0.08, 1.5)])
def test_scales_that_no_crop_has(scale):
    check_scale((0.08, 1), "fkd.relabel")
    with pytest.raises(Refusal, match="fkd.relabel: expected shares"):
        check_scale(scale, "fkd.relabel")
