import numpy as np
import pytest
import torch
from torch import nn

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_input import evaluation_input
from encore.systems.reid.features import Extraction, extract, extract_raw, l2_normalised
from tests.encore.systems.reid.market_set import GALLERY, SIZE, MeanColours, pictures_of
from tests.encore.systems.reid.reid_pictures import png


def pictures(data=None):
    data = data or [png(number) for number in range(5)]
    return pictures_of(GALLERY[: len(data)], data.__getitem__)


class Answer(nn.Module):
    """Answers one row for each image, whatever it shows."""

    def __init__(self, row):
        super().__init__()
        self.row = row

    def forward(self, images):
        return torch.tensor(self.row).expand(len(images), -1)


def test_rows_are_the_pictures_one_by_one():
    net = MeanColours().eval()
    with torch.no_grad():
        expected = [net(torch.from_numpy(evaluation_input(png(i), SIZE))[None])[0].numpy() for i in range(5)]
    found = extract_raw(net, pictures(), Extraction(SIZE, 2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    unit = extract(net, pictures(), Extraction(SIZE, 2))
    np.testing.assert_allclose((unit**2).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        unit * np.linalg.norm(found, axis=1, keepdims=True), found, rtol=1e-5, atol=1e-6
    )


def test_workers_change_nothing_and_the_stream_of_random_numbers_goes_on():
    net = MeanColours()
    torch.manual_seed(1)
    alone = extract_raw(net, pictures(), Extraction(SIZE, 2))
    drawn = torch.rand(1)
    np.testing.assert_array_equal(extract_raw(net, pictures(), Extraction(SIZE, 2, workers=1)), alone)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn


def test_evaluation_mode_inside_and_each_layer_as_it_was_outside():
    net = MeanColours().train()
    net.mix.eval()
    first, second = (extract_raw(net, pictures(), Extraction(SIZE)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert net.training and net.dropout.training and not net.mix.training


def test_flip_adds_the_mirrored_picture():
    net, how = MeanColours(), Extraction(SIZE, flip=True)
    net.eval()
    image = torch.from_numpy(evaluation_input(png(0), SIZE))[None]
    with torch.no_grad():
        expected = net(image) + net(image.flip(3))
    np.testing.assert_allclose(extract_raw(net, pictures([png(0)]), how), expected, rtol=1e-5, atol=1e-5)


def test_l2_by_hand():
    np.testing.assert_allclose(l2_normalised([[3.0, 4.0], [0.0, -2.0]]), [[0.6, 0.8], [0, -1]], rtol=1e-6)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_read_is_named(workers):
    data = [png(0), b"", png(2)]
    with pytest.raises(Refusal, match="set: 0001/0001_c2s1_000001_00.png: .*0 bytes"):
        extract_raw(MeanColours(), pictures(data), Extraction(SIZE, 1, workers=workers))


def test_features_without_meaning_are_refused_by_name():
    with pytest.raises(Refusal, match="0001_c1s1_000001_00.png: its feature holds NaN or infinity \\(5 of 5"):
        extract_raw(Answer([1.0, float("nan")]), pictures(), Extraction(SIZE))
    with pytest.raises(Refusal, match="0001_c1s1_000001_00.png: its feature is all zeros"):
        extract(Answer([0.0, 0.0]), pictures(), Extraction(SIZE))
    with pytest.raises(Refusal, match="gallery: expected pictures"):
        extract_raw(MeanColours(), pictures_of([]), Extraction(SIZE), "gallery")
