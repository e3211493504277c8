import pytest
import torch

from encore.detection import torchvision_nms
from encore.detection.torchvision_nms import has_compiled_operators, load_torchvision, nms
from encore.runtime.refusal import Refusal


def literal_nms(boxes, scores, threshold):
    """The definition, box by box: what overlaps a kept box of higher score beyond the threshold goes."""

    def overlap(a, b):
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        shared = width * height
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
        return shared / union if union else 0.0

    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def random_boxes(seed, count=60, side=40):
    draws = torch.Generator().manual_seed(seed)
    low = torch.randint(0, side, (count, 2), generator=draws)
    size = torch.randint(0, side, (count, 2), generator=draws)
    boxes = torch.cat([low, low + size], 1).float()
    scores = torch.randint(0, 12, (count,), generator=draws).float() / 16  # many ties
    return boxes, scores


def test_hand_worked():
    # 10x10 boxes; the second shares 8x10 of 120 = 2/3 with the first, the third 5x10 of 150 = 1/3.
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95])
    assert nms(boxes, scores, 0.5).tolist() == [3, 0, 2]
    assert nms(boxes, scores, 0.3).tolist() == [3, 0]
    assert nms(boxes, scores, 0.7).tolist() == [3, 0, 1, 2]
    assert nms(boxes[:0], scores[:0], 0.5).tolist() == []


def test_an_overlap_of_exactly_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])  # 50 of 100
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 0.5, 1.0])
def test_equals_the_definition_with_distinct_scores(threshold):
    for seed in range(20):
        boxes, _ = random_boxes(seed)
        scores = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed)).double() / 64
        expected = literal_nms(boxes.double().tolist(), scores.tolist(), threshold)
        assert nms(boxes.double(), scores, threshold).tolist() == expected


@pytest.mark.skipif(not has_compiled_operators(), reason="torchvision's compiled operators do not load here")
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 0.5, 0.7, 1.0])
def test_equals_the_compiled_operator_with_ties(threshold):
    ops = load_torchvision().ops
    for seed in range(40):
        boxes, scores = random_boxes(seed, count=150)
        noise = torch.rand(boxes.shape, generator=torch.Generator().manual_seed(seed))
        for own in (boxes, boxes + noise * torch.tensor([0.0, 0, 1, 1])):
            assert nms(own, scores, threshold).tolist() == ops.nms(own, scores, threshold).tolist()


def test_torchvisions_own_nms_works_here():
    boxes, scores = random_boxes(3)
    torchvision = load_torchvision()
    assert torchvision.ops.nms(boxes, scores, 0.4).tolist() == nms(boxes, scores, 0.4).tolist()
    assert load_torchvision() is torchvision


def test_nothing_is_registered_where_the_compiled_operator_is_there():
    load_torchvision()
    assert bool(torchvision_nms._registered) == (not has_compiled_operators())


def test_a_torch_without_operator_libraries_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "library", None, raising=False)
    with pytest.raises(Refusal, match="compiled operators do not load beside torch"):
        torchvision_nms._register()
