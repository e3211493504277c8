"""Detection on whole sets of pictures, and its average precision where the boxes are known."""

from __future__ import annotations

import collections
import os
import shutil
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from encore.data.loader_processes import loader
from encore.detection.detections import ARCHIVE, CLASSES, Detections, write_detections
from encore.detection.letterbox import letterboxed
from encore.detection.retina_net import (
    PUBLISHED,
    RetinaNetShape,
    build_retina_net,
    detect,
    load_portable,
    portable_state,
)
from encore.metrics.detection_ap import average_precisions
from encore.metrics.evidence.boxes import Boxes
from encore.runtime.numerics import exact
from encore.runtime.placed_network import PlacedNetwork, default_device
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.runtime.shard_map import map_units
from encore.runtime.unit_needs import DEVICE
from encore.systems.isc_overlays.frames import framed, rgb
from encore.training import checkpoint_files

PER_PART = 5000
PART = "part-{:05d}"


def save_detector(path, network, shape):
    """Write the detector: its weights under portable names and the sizes that it has."""
    content = {"shape": {name: _plain(value) for name, value in vars(shape).items()}}
    checkpoint_files.save(path, dict(content, state_dict=dict(portable_state(network))))


def open_detector(path, selection=PUBLISHED, device=None):
    """Read what `save_detector` wrote -> (network in evaluation mode on `device`, RetinaNetShape)."""
    content = safe_load(path)
    if not isinstance(content, dict) or set(content) != {"shape", "state_dict"}:
        raise Refusal(
            "{}: no detector, expected the entries shape and state_dict: train it again".format(path)
        )
    shape = RetinaNetShape(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in content["shape"].items()}
    )
    with torch.random.fork_rng(devices=[]):
        network = build_retina_net(shape, selection)
    load_portable(network, content["state_dict"], path)
    return network.to(device or default_device()).eval(), shape


class Frames(Dataset):
    """Item (first, last) -> the letterboxed frames of these pictures, a list of uint8 (3, h, w)."""

    def __init__(self, source, size):
        self.source, self.size = source, size

    def __getitem__(self, rows):
        try:
            frames = (letterboxed(rgb(self.source, row), self.size)[0] for row in range(*rows))
            return [torch.from_numpy(frame.transpose(2, 0, 1).copy()) for frame in frames]
        except Refusal as refusal:  # a loader would wrap it in a worker's traceback
            return str(refusal)


@exact()
def detect_all(network, source, size, batch=16, workers=0):
    """Detections of every picture of `source` (`names`, `read(i)`, `len`): a list of float32 arrays (n, 6).

    Pictures whose frames have the same shape go through the network together, `batch` at most; `workers`
    processes decode. Raises Refusal naming a picture that cannot be read.
    """
    windows = [(start, min(start + batch, len(source))) for start in range(0, len(source), batch)]
    batches = loader(Frames(source, size), windows, workers)
    found = []
    for frames in progress(batches, len(windows), "detection batches"):
        if isinstance(frames, str):
            raise Refusal(frames)
        found.extend(_detect_by_shape(network, frames))
    return found


def detect_in_parts(folder, network, source, size, batch, workers, per_part=PER_PART):
    """`detect_all`, in parts that are kept in `folder` until all are there: a killed run goes on where it
    was."""
    parts = {
        os.path.join(str(folder), PART.format(start // per_part)): range(
            start, min(start + per_part, len(source))
        )
        for start in range(0, len(source), per_part)
    }
    placed = PlacedNetwork(network, next(network.parameters()).device)

    def make_worker():
        def write(part):
            rows = parts[part]
            arrays = detect_all(placed.network, _Part(source, rows), size, batch, workers)
            write_detections(part, [source.names[row] for row in rows], arrays, size)

        return write

    missing = [part for part in parts if not os.path.exists(os.path.join(part, ARCHIVE))]
    for _ in map_units(make_worker, missing, 1, DEVICE, [folder]):
        pass
    found = []
    for part, rows in parts.items():
        detections = Detections.open(part)
        found.extend(detections.of(source.names[row]) for row in rows)
    for part in parts:
        shutil.rmtree(part)
    return found


class _Part:
    """Some pictures of a source, in order."""

    def __init__(self, source, rows):
        self.names, self._source, self._rows = [source.names[row] for row in rows], source, rows

    def __len__(self):
        return len(self._rows)

    def read(self, i):
        return self._source.read(self._rows[i])


def _detect_by_shape(network, frames):
    places = collections.OrderedDict()
    for place, frame in enumerate(frames):
        places.setdefault(tuple(frame.shape), []).append(place)
    found = [None] * len(frames)
    for same in places.values():
        for place, rows in zip(same, detect(network, torch.stack([frames[place] for place in same]))):
            found[place] = rows
    return found


@dataclass(frozen=True)
class Precision:
    """Average precision (IoU 0.5) of a detector on pictures with known boxes."""

    mean: float
    """Over the classes."""
    of_class: dict
    """Class name -> average precision, for each class that occurs."""
    pictures: int
    evidence: Boxes = field(compare=False, repr=False)
    """The boxes, true and found."""


@exact()
def average_precision(network, labelled, size, batch=16):
    """Precision of `network` on a part of the set (`Labelled`)."""
    truth, found = [], []
    for start in range(0, len(labelled.rows), batch):
        pictures = range(start, min(start + batch, len(labelled.rows)))
        made = [framed(labelled, picture, size, 32) for picture in pictures]
        truth.extend(boxes for _, boxes in made)
        frames = [torch.from_numpy(frame.transpose(2, 0, 1).copy()) for frame, _ in made]
        found.extend(_detect_by_shape(network, frames))
    by_number = average_precisions(truth, found, range(len(CLASSES)))
    if not by_number:
        raise Refusal("the validation part has no box: no average precision can be measured; add pictures")
    of_class = {CLASSES[number]: value for number, value in by_number.items()}
    return Precision(
        float(np.mean(list(of_class.values()))), of_class, len(truth), Boxes(truth, found, CLASSES)
    )


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
