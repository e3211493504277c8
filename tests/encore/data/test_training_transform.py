"""The training transform against torchvision, step by step."""

import numpy as np
import pytest
import torch
from PIL import Image

from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD, TrainingTransform, normalised
from encore.detection.torchvision_nms import load_torchvision


def picture(width, height, seed=0):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8))


def test_the_crop_by_hand():
    # a border of 1 around 2 x 2 pixels; seed 3 draws a flip, then the crop's place
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    draws = torch.Generator().manual_seed(3)
    flipped = torch.rand(1, generator=draws).item() < 0.5
    top, left = (torch.randint(0, 3, (1,), generator=draws).item() for _ in range(2))
    pixels = np.asarray(image)[:, ::-1] if flipped else np.asarray(image)
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "constant")
    found = TrainingTransform(2, 2, pad=1)(image, torch.Generator().manual_seed(3))
    assert flipped and np.array_equal(
        found.numpy().transpose(1, 2, 0), padded[top : top + 2, left : left + 2]
    )


@pytest.mark.parametrize("size", [(64, 64), (100, 80)])
def test_same_bits_as_torchvision(size):
    transforms = load_torchvision().transforms
    theirs = transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.RandomHorizontalFlip(0.5),
            transforms.Pad(10),
            transforms.RandomCrop((64, 64)),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    ours = TrainingTransform(64, 64)
    for seed in range(20):
        image = picture(*size, seed=seed)
        torch.manual_seed(seed)
        expected = theirs(image)
        found = normalised(ours(image, torch.Generator().manual_seed(seed)).unsqueeze(0))[0]
        assert torch.equal(found, expected), seed


def test_the_pair_models_only_resize():
    image = picture(40, 30)
    found = TrainingTransform(16, 20, random=False)(image, torch.Generator().manual_seed(0))
    assert np.array_equal(
        found.numpy().transpose(1, 2, 0), np.asarray(image.resize((20, 16), Image.BILINEAR))
    )


def test_normalising_by_hand():
    pixels = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalised(pixels).flatten().tolist() == pytest.approx(expected, rel=1e-6)
