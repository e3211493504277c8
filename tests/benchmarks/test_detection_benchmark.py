from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks import detection
from benchmarks.gpu_check.throughput import TINY
from benchmarks.plain_calls import written
from encore.detection.retina_net import RetinaNetShape, build_retina_net

SHAPE = RetinaNetShape((1, 1, 1, 1), width=4, channels=8, anchors=(8, 16, 32), size=96)


@pytest.fixture
def measured(monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(detection, "COPIES", 2)
    return detection.run(1, SHAPE, TINY)


def test_the_benchmark_measures_what_the_forecast_reads(measured):
    rates = {key: value for key, value in measured.items() if key.endswith("_per_second")}
    assert len(rates) == 5 and all(value > 0 for value in rates.values())
    assert measured["overlays_over_extraction"] == (
        measured["overlays_multiply_adds_per_second"] / measured["extraction_multiply_adds_per_second"]
    )
    assert measured["megapixels"] == 0.1875  # 500 x 375


def test_other_benchmarks_keep_their_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(detection, "faces_rate", lambda files, repeats: torch.get_num_threads())
    monkeypatch.setattr(detection, "pasted_rate", lambda files, repeats: 1)
    monkeypatch.setattr(detection, "detector_rates", lambda *values: {})
    torch.set_num_threads(2)
    try:
        assert detection.run(1)["faces_pictures_per_second"] == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_cascade_and_the_pasting_are_those_of_the_published_size():
    path = Path(__file__).resolve().parents[2] / "params.yaml"
    parameters = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert asdict(detection.CASCADE) == parameters["isc_track1"]["faces"]["cascade"]
    pasting = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(detection.PASTING).items()
    }
    assert pasting == parameters["isc_overlays"]["generate"]["pasting"]


def test_a_cascade_that_finds_no_face_is_not_measured():
    pytest.importorskip("skimage")
    file = written(Image.fromarray(np.full((64, 64, 3), 128, dtype=np.uint8)), 95)
    with pytest.raises(AssertionError, match="no face"):
        detection.faces_rate([file], 1)


def test_convolutions_of_the_heads_count_once_a_level():
    network = build_retina_net(SHAPE).eval()
    frame = torch.zeros(1, 3, 96, 96, dtype=torch.uint8)
    of_tower = 8 * (9 * 8 * 8) * (12**2 + 6**2 + 3**2)
    last = 9 * 8 * (2 * 9 + 4 * 9) * (12**2 + 6**2 + 3**2)
    without = sum(
        detection.of_layer(layer, output)
        for layer, output in outputs_of(network.backbone, frame.float())
        if isinstance(layer, torch.nn.Conv2d)
    )
    assert detection.detector_multiply_adds(network, frame) == without + of_tower + last


def outputs_of(network, images):
    found = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: found.append((layer, output)))
        for layer in network.modules()
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return found
