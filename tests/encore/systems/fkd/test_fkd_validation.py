"""Validation: the published preparation of a picture, scores, and what it leaves alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from encore.data.class_folders import ClassFolders
from encore.detection.torchvision_nms import load_torchvision
from encore.runtime.refusal import Refusal
from encore.systems.fkd.validation import centre_crop, evaluate, resized, spread


def picture(width, height):
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows, columns, rows + columns], 2).astype(np.uint8))


@pytest.mark.parametrize(
    "before, after",
    [
        ((100, 80), (320, 256)),
        ((80, 100), (256, 320)),
        ((97, 50), (496, 256)),  # 496.64, cut
        ((300, 256), (300, 256)),
        ((60, 60), (256, 256)),
    ],
)
def test_the_shorter_side_becomes_256(before, after):
    assert resized(picture(*before), 256).size == after


def test_no_side_leaves_the_picture_as_it_is():
    assert resized(picture(64, 48), None).size == (64, 48)


def test_the_crop_is_the_middle_one_with_halves_rounded_to_even():
    found = np.asarray(centre_crop(picture(11, 13), 8))
    assert found.shape == (8, 8, 3)
    assert found[0, 0].tolist()[:2] == [2, 2]  # (13 - 8) / 2 = 2.5 -> 2, (11 - 8) / 2 = 1.5 -> 2


def test_a_picture_smaller_than_the_crop_gets_a_black_border():
    found = np.asarray(centre_crop(Image.new("RGB", (3, 9), (255, 255, 255)), 6))
    white = found[:, :, 0] == 255
    assert white[:, 1:4].all() and not white[:, 0].any() and not white[:, 4:].any()


def test_the_preparation_is_torchvisions():
    transforms = load_torchvision().transforms
    published = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    for size in ((300, 200), (200, 301), (256, 256), (500, 333), (90, 120)):
        image = picture(*size)
        expected = np.asarray(published(image)).astype(int)
        found = np.asarray(centre_crop(resized(image, 256), 224)).astype(int)
        assert np.abs(found - expected).max() <= 1  # Pillow 13 rounds in another order


class Brightness(torch.nn.Module):
    """Logits that say how near the mean of a picture is to each class's grey level."""

    levels = torch.tensor([0.0, 85.0, 170.0, 255.0])

    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, images):
        self.modes.append(self.training)
        return -((images.mean((1, 2, 3)) * 255).view(-1, 1) - self.levels).abs() / 10


@pytest.fixture()
def folders(tmp_path):
    """Four classes of five grey pictures; one picture of each class is another class's grey."""
    for number in range(4):
        (tmp_path / ("class%d" % number)).mkdir()
        for i in range(5):
            level = 85 * ((number + 1) % 4 if i == 0 else number)
            buffer = io.BytesIO()
            Image.new("RGB", (40, 30), (level,) * 3).save(buffer, "PNG")
            (tmp_path / ("class%d" % number) / ("%d.png" % i)).write_bytes(buffer.getvalue())
    return ClassFolders(str(tmp_path))


def scores(folders, **options):
    options = dict(
        {"size": 24, "resize": 28, "batch": 3, "mean": (0, 0, 0), "deviation": (1, 1, 1)}, **options
    )
    return evaluate(Brightness(), folders, **options)


def test_scores_are_percent_of_the_pictures_and_the_mean_cross_entropy(folders):
    found = scores(folders)
    assert found["top1"] == pytest.approx(80.0) and found["top5"] == 100.0
    by_hand = []
    for number in range(4):
        for i in range(5):
            level = torch.tensor([85.0 * ((number + 1) % 4 if i == 0 else number)])
            logits = -(level - Brightness.levels).abs() / 10
            by_hand.append(-torch.log_softmax(logits, 0)[number].item())
    assert found["loss"] == pytest.approx(np.mean(by_hand), rel=1e-5)
    assert all(type(value) is float for value in found.values())


def test_workers_and_batch_change_nothing(folders):
    expected = scores(folders)
    assert scores(folders, workers=2) == expected
    assert scores(folders, batch=20) == pytest.approx(expected)


def test_a_limit_takes_pictures_of_all_classes(folders):
    assert spread(20, 4).tolist() == [0, 5, 10, 15]
    assert scores(folders, limit=4)["top1"] == 0.0  # the first of each class are the wrong ones
    assert spread(20, 50).tolist() == list(range(20))


def test_normalisation_uses_the_mean_and_deviation_given(folders):
    assert scores(folders, mean=(1, 1, 1))["top1"] != scores(folders)["top1"]


def test_the_network_evaluates_and_keeps_its_mode(folders):
    for mode in (True, False):
        network = Brightness().train(mode)
        evaluate(network, folders, 24, 28, 8)
        assert network.training is mode and network.modes == [False] * 3


def test_no_random_number_is_drawn(folders):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    scores(folders, workers=1)
    assert torch.equal(torch.rand(4), expected)


def test_more_classes_than_outputs_are_refused(folders):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 3))
    with pytest.raises(Refusal, match="4 classes or more, the network 3"):
        evaluate(network, folders, 24, 28, 20)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_is_named_in_one_line(folders, workers):
    with open(folders.spec + "/class2/1.png", "wb") as file:
        file.write(b"no picture")
    with pytest.raises(Refusal, match="^validation picture class2/1.png cannot be read.*leave it out$"):
        scores(folders, workers=workers)
