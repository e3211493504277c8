import io

import numpy as np
import pytest
import torch
from PIL import Image

from encore.detection.detections import Detections, write_detections
from encore.detection.letterbox import letterboxed
from encore.detection.retina_net import RetinaNetShape, Selection, build_retina_net, detect
from encore.runtime.refusal import Refusal
from encore.systems.isc_overlays import inference
from encore.systems.isc_overlays.inference import (
    average_precision,
    detect_all,
    detect_in_parts,
    open_detector,
    save_detector,
)
from encore.systems.isc_overlays.summary import Found, count_found
from encore.systems.isc_overlays.training_set import Labelled

SHAPE = RetinaNetShape((1, 1, 1, 1), 4, 8, (12, 24, 40), 64)


class Pictures:
    def __init__(self, sizes):
        self.names = ["Q{:05d}.jpg".format(i) for i in range(len(sizes))]
        self.images = [Image.effect_noise(size, 60).convert("RGB") for size in sizes]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        file = io.BytesIO()
        self.images[i].save(file, "PNG")
        return file.getvalue()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_retina_net(SHAPE, Selection(0.0095, 0.45, 20)).eval()


SIZES = [(64, 48), (48, 64), (64, 48), (100, 30), (10, 10), (64, 48), (33, 77)]


def test_each_picture_gets_the_detections_that_it_gets_alone(network):
    source = Pictures(SIZES)
    found = detect_all(network, source, 64, batch=5)
    assert sum(map(len, found)) > 0
    for image, rows in zip(source.images, found):
        frame = torch.from_numpy(letterboxed(image, 64)[0].transpose(2, 0, 1).copy())[None]
        alone = detect(network, frame)[0]
        assert len(alone) == len(rows)
        assert np.allclose(alone[:, 4], rows[:, 4], atol=1e-5)


def test_a_query_that_cannot_be_read_is_refused_by_name(network):
    source = Pictures(SIZES)
    source.read = lambda i: b"broken"
    with pytest.raises(Refusal, match="picture Q00000.jpg cannot be read"):
        detect_all(network, source, 64)


def test_a_detector_is_read_back_with_its_sizes(network, tmp_path):
    path = str(tmp_path / "detector.pth")
    save_detector(path, network, SHAPE)
    again, shape = open_detector(path, Selection(0.0095, 0.45, 20), "cpu")
    assert shape == SHAPE and not again.training
    frames = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    for one, other in zip(detect(network, frames), detect(again, frames)):
        assert (one == other).all()
    torch.save({"state_dict": {}}, path)
    with pytest.raises(Refusal, match="no detector, expected the entries shape and state_dict"):
        open_detector(path)


def test_a_killed_detection_goes_on_where_it_was(network, tmp_path, monkeypatch):
    source = Pictures(SIZES)
    whole = detect_all(network, source, 64, 1)
    done = []

    def counted(network, part, *options):
        done.append(len(part))
        if len(done) == 3:
            raise KeyboardInterrupt
        return detect_all(network, part, *options)

    monkeypatch.setattr(inference, "detect_all", counted)
    with pytest.raises(KeyboardInterrupt):
        detect_in_parts(tmp_path, network, source, 64, 1, 0, per_part=3)
    found = detect_in_parts(tmp_path, network, source, 64, 1, 0, per_part=3)
    assert done == [3, 3, 1, 1]
    assert all((one == other).all() for one, other in zip(found, whole))
    assert list(tmp_path.iterdir()) == []


def test_precision_is_measured_in_the_frame(network, monkeypatch):
    """A detector that finds exactly the true boxes has 1, one that is half a box off has 0."""
    source = Pictures([(48, 48)] * 3)
    boxes = tuple(np.array([[6.0, 6, 30, 30, kind]]) for kind in (0, 1, 1))
    labelled = Labelled(source, (0, 1, 2), boxes)
    for shift, expected in ((0, 1.0), (16, 0.0)):
        kinds = iter((0, 1, 1))

        def found(network, frames, shift=shift, kinds=kinds):
            assert tuple(frames.shape[1:]) == (3, 64, 64)
            return [np.array([[8 + shift, 8, 40 + shift, 40, 0.9, next(kinds)]]) for _ in frames]

        monkeypatch.setattr(inference, "detect", found)
        result = average_precision(network, labelled, 64, batch=2)
        assert result.mean == expected and result.pictures == 3
        assert result.of_class == {"Overlay": expected, "Emoji": expected}


def test_precision_without_a_box_is_refused(network):
    labelled = Labelled(Pictures([(48, 48)]), (0,), (np.zeros((0, 5)),))
    with pytest.raises(Refusal, match="the validation part has no box"):
        average_precision(network, labelled, 64)


def test_counts_by_hand(tmp_path):
    overlay, emoji = [1, 1, 9, 9, 0.8, 0], [1, 1, 9, 9, 0.5, 1]
    arrays = [np.array([overlay, emoji]), np.zeros((0, 6)), np.array([emoji]), np.array([overlay, overlay])]
    write_detections(tmp_path, ["a", "b", "c", "d"], arrays, 64)
    assert count_found(Detections.open(tmp_path)) == Found(queries=4, with_overlay=2, detections=5)
