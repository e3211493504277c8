import numpy as np
import pytest
import torch

from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD
from encore.systems.fkd.distilled_batches import mixed_inputs
from encore.systems.fkd.mixing import NONE, MixDraw, draw_mix

PIXELS = torch.randint(0, 256, (9, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
DRAWS = [
    draw_mix(kind, 9, 20, alpha, 1, 2, 3) for kind, alpha in (("cutmix", 1.0), ("mixup", 0.8), ("none", 1.0))
]


def published(pixels, draw):
    """ToTensor, Normalize and the published mixing of the whole batch, as the specification words them."""
    x = pixels.float().div(255)
    for channel in range(3):
        x[:, channel].sub_(IMAGENET_MEAN[channel]).div_(IMAGENET_STD[channel])
    if draw.kind == "cutmix":
        top, left, bottom, right = draw.box
        x[:, :, top:bottom, left:right] = x[draw.order, :, top:bottom, left:right]
    if draw.kind == "mixup":
        x = draw.share * x + (1 - draw.share) * x[draw.order, :]
    return x


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.kind)
def test_mixing_is_the_published_one(draw):
    before = PIXELS.clone()
    expected = published(PIXELS, draw)
    assert torch.equal(mixed_inputs(PIXELS, draw), expected)
    for rows in (slice(0, 4), slice(4, 9), slice(8, 9)):
        assert torch.equal(mixed_inputs(PIXELS, draw, rows=rows), expected[rows])
    assert torch.equal(PIXELS, before)
    assert torch.equal(expected, published(PIXELS, NONE)) == (draw.kind == "none")


def test_draws_belong_to_their_address():
    first = draw_mix("cutmix", 50, 64, 1.0, 7, 4, 2)
    again = draw_mix("cutmix", 50, 64, 1.0, 7, 4, 2)
    assert torch.equal(first.order, again.order) and first[2:] == again[2:]
    shares = {draw_mix("cutmix", 50, 64, 1.0, 7, e, b).share for e in range(10) for b in range(10)}
    assert len(shares) == 100
    assert draw_mix("none", 50, 64, 1.0, 7, 4, 2) == NONE == MixDraw("none", None, None, None)


def test_draws_leave_the_global_generators_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    draw_mix("cutmix", 50, 64, 1.0, 7, 4, 2)
    assert (torch.rand(1), np.random.rand()) == expected


def test_draws_follow_the_published_distributions():
    draws = [draw_mix("cutmix", 4, 64, 1.0, 1, epoch, 0) for epoch in range(2000)]
    shares = np.array([draw.share for draw in draws])
    assert abs(shares.mean() - 0.5) < 0.03 and abs(shares.var() - 1 / 12) < 0.01
    half = (64 * np.sqrt(1 - shares)).astype(int) // 2
    boxes = np.array([draw.box for draw in draws])
    assert boxes.min() == 0 and boxes.max() == 64
    assert (boxes[:, 2] - boxes[:, 0] <= 2 * half).all() and (boxes[:, 3] - boxes[:, 1] <= 2 * half).all()
    inside = (boxes.min(axis=1) > 0) & (boxes.max(axis=1) < 64)
    assert ((boxes[:, 2] - boxes[:, 0]) == 2 * half)[inside].all() and inside.sum() > 200
    assert (
        abs(np.mean(boxes[:, 0] + boxes[:, 2]) - 64) < 2 and abs(np.mean(boxes[:, 1] + boxes[:, 3]) - 64) < 2
    )
    shares = np.array([draw_mix("mixup", 4, 64, 0.8, 1, epoch, 0).share for epoch in range(2000)])
    assert abs(shares.mean() - 0.5) < 0.03 and abs(shares.var() - 0.25 / 2.6) < 0.01
    assert all(sorted(draw.order.tolist()) == [0, 1, 2, 3] for draw in draws)
