import numpy as np
import pytest
import torch

from encore.detection.detections import check
from encore.detection.retina_net import (
    PUBLISHED,
    RetinaNetShape,
    Selection,
    build_retina_net,
    detect,
    load_portable,
    portable_name,
    portable_state,
)
from encore.detection.torchvision_nms import load_torchvision
from encore.runtime.refusal import Refusal

SHAPE = RetinaNetShape((1, 1, 1, 1), 4, 8, (16, 32, 64), 64)


def network(shape=SHAPE, selection=PUBLISHED, seed=0):
    torch.manual_seed(seed)
    return build_retina_net(shape, selection)


def picture(seed, height=64, width=64):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def target(*boxes):
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 5)
    return {"boxes": rows[:, :4], "labels": rows[:, 4].long()}


def losses(net, images, targets):
    found = net.train()([image.clone() for image in images], [dict(one) for one in targets])
    return {name: value.item() for name, value in found.items()}


def test_published_sizes_are_torchvisions():
    net = network(RetinaNetShape())
    load_torchvision()
    from torchvision.models.detection import retinanet

    reference = retinanet.RetinaNet(net.backbone, 2)
    assert net.anchor_generator.sizes == reference.anchor_generator.sizes
    assert net.anchor_generator.aspect_ratios == reference.anchor_generator.aspect_ratios
    shapes = {portable_name(name): value.shape for name, value in net.head.state_dict().items()}
    expected = {portable_name(name): value.shape for name, value in reference.head.state_dict().items()}
    assert shapes == expected
    assert [len(list(net.backbone.body.children())), net.backbone.out_channels] == [8, 256]
    assert len(net.backbone(torch.zeros(1, 3, 64, 64))) == 5


def test_losses_are_torchvisions_where_every_picture_has_a_box():
    load_torchvision()
    from torchvision.models.detection import RetinaNet

    net = network()
    images = [picture(seed) for seed in range(3)]
    targets = [
        target((4, 4, 40, 40, 0)),
        target((10, 20, 30, 44, 1), (0, 0, 60, 50, 0)),
        target((1, 1, 20, 9, 1)),
    ]
    ours = losses(net, images, targets)
    net.__class__ = RetinaNet
    theirs = losses(net, images, targets)
    assert set(ours) == {"classification", "bbox_regression"}
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-6)


def test_a_picture_without_a_box_adds_focal_loss_of_the_background_only():
    net = network().eval()  # statistics that do not depend on the batch
    net.training = True
    full, empty = target((4, 4, 40, 40, 0)), target()
    one, other = picture(1), picture(2)
    whole = losses_in_evaluation(net, [one, other], [full, empty])
    alone = losses_in_evaluation(net, [one], [full])
    assert whole["bbox_regression"] == pytest.approx(alone["bbox_regression"] / 2, rel=1e-5)
    # Focal loss of a background anchor: 0.75 p^2 (-log(1 - p)), summed, over max(1, no foreground).
    with torch.no_grad():
        features = list(net.backbone(net.transform([other.clone()])[0].tensors).values())
        p = torch.sigmoid(net.head(features)["cls_logits"].double())
    background = float((0.75 * p**2 * -torch.log1p(-p)).sum())
    expected = (alone["classification"] + background) / 2
    assert whole["classification"] == pytest.approx(expected, rel=1e-5)


def losses_in_evaluation(net, images, targets):
    found = net([image.clone() for image in images], [dict(one) for one in targets])
    return {name: value.item() for name, value in found.items()}


def test_a_batch_without_any_box_trains():
    net = network().train()
    found = net([picture(0), picture(1)], [target(), target()])
    assert found["bbox_regression"].item() == 0
    sum(found.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_narrow_heads_let_the_signal_through():
    """He's weights keep the size of the signal; torchvision's deviation of 0.01 divides it by 8 a layer."""
    net = network(RetinaNetShape((1, 1, 1, 1), 4, 32, (16, 32, 64), 64))
    signal = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(0))
    for head in (net.head.classification_head, net.head.regression_head):
        assert 0.2 < head.conv(signal).std().item() < 5
    prior = torch.sigmoid(net.head.classification_head.cls_logits.bias)
    assert torch.allclose(prior, torch.full_like(prior, 0.01))


def detections(net, frames):
    return detect(net.eval(), frames)


def some_frames(height=64, width=64, count=3):
    return (torch.stack([picture(seed, height, width) for seed in range(count)]) * 255).byte()


def test_detections_are_in_the_published_layout():
    found = detections(network(selection=Selection(0.0095, 0.45, 50)), some_frames())
    assert len(found) == 3
    for rows in found:
        assert 0 < len(rows) <= 50
        check(rows, "here")
        assert rows.dtype == np.float32 and (rows[:, 4] > 0.0095).all()
        assert rows[:, :4].min() >= 0 and rows[:, :4].max() <= 64
        assert (rows[:, 2:4] - rows[:, :2]).min() >= 1


def test_nothing_above_the_confidence_gives_no_rows():
    assert [rows.shape for rows in detections(network(), some_frames())] == [(0, 6)] * 3


def test_suppression_is_by_class():
    rows = detections(network(selection=Selection(0.009, 0.3, 1000)), some_frames())[0]
    for kind in (0, 1):
        own = rows[rows[:, 5] == kind]
        for i in range(len(own)):
            for j in range(i):
                assert overlap(own[i], own[j]) <= 0.3 + 1e-5
    assert max(overlap(a, b) for a in rows[rows[:, 5] == 0] for b in rows[rows[:, 5] == 1]) > 0.3


def overlap(a, b):
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_frames_reach_the_network_unscaled():
    net = network()
    for height, width in ((64, 32), (32, 64), (64, 64)):
        image = picture(0, height, width)
        inside = net.transform([image.clone()])[0].tensors[0]
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        expected = (image - mean[:, None, None]) / std[:, None, None]
        assert inside.shape == expected.shape
        assert torch.allclose(inside, expected, atol=1e-6)


def test_weights_travel_under_the_older_names():
    one, other = network(seed=0), network(seed=1)
    state = portable_state(one)
    assert "backbone.fpn.inner_blocks.0.weight" in state
    assert "head.classification_head.conv.6.bias" in state
    assert not any(name.endswith(".0.0.weight") and ("fpn" in name or "head" in name) for name in state)
    load_portable(other, state, "file")
    for name, value in other.state_dict().items():
        assert torch.equal(value, one.state_dict()[name])


@pytest.mark.parametrize(
    "newer, older",
    [
        ("backbone.fpn.layer_blocks.2.0.bias", "backbone.fpn.layer_blocks.2.bias"),
        ("head.regression_head.conv.3.0.weight", "head.regression_head.conv.6.weight"),
        ("head.regression_head.conv.6.weight", "head.regression_head.conv.6.weight"),
        ("backbone.body.layer1.0.conv1.weight", "backbone.body.layer1.0.conv1.weight"),
    ],
)
def test_portable_names(newer, older):
    assert portable_name(newer) == older


def test_weights_that_do_not_fit_are_refused():
    state = portable_state(network())
    for change in ({"head.x": torch.zeros(1)}, {"backbone.body.conv1.weight": torch.zeros(1)}):
        with pytest.raises(
            Refusal, match="weights.pth: 1 tensors are missing, unknown .* " + list(change)[0]
        ):
            load_portable(network(), dict(state, **change), "weights.pth")
    del state["head.regression_head.bbox_reg.bias"]
    with pytest.raises(Refusal, match="head.regression_head.bbox_reg.bias"):
        load_portable(network(), state, "weights.pth")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(anchors=(16, 32)), "expected 3 or 5 sizes"),
        (dict(layers=(1, 1)), "expected 4 numbers of blocks"),
        (dict(width=0), "sizes from 1 up"),
        (dict(size=100), "a multiple of 32, found 100"),
    ],
)
def test_sizes_out_of_range_are_refused(change, message):
    with pytest.raises(Refusal, match=message):
        RetinaNetShape(**change)
