"""Descriptors of pictures at one scale: features of the network, L2-normalised (specs isc-track2 3,
isc-track1-test 2).

Track 2's are the 256-d "matrix" features; Track 1's are the 8192-d embedding after PCA whitening.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
import torch

from encore.data.descriptors import (
    chunk_path,
    descriptor_id,
    read_attributes,
    read_descriptors,
    write_descriptors,
)
from encore.runtime.numerics import exact
from encore.runtime.placed_network import PlacedNetwork
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units
from encore.runtime.shared_memory import loader_bytes
from encore.runtime.unit_needs import DEVICE
from encore.systems.isc.prepared_pictures import PictureReader

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST_PER_WORKER_BATCH = 50  # decoded pictures travel in portions of at most this many, to spare shared memory
HEADS = ("descriptor", "embedding")
"""Methods of IscNetwork: the matrix head's output (Track 2), the wide head's (Track 1)."""


@dataclass(frozen=True)
class ExtractionRecipe:
    """How descriptors are made; the defaults are the published values."""

    scales: Tuple[int, ...] = (200, 256, 320, 400)
    """sides in pixels of the squares that pictures are resized to"""
    batch_size: int = 500
    batches_per_chunk: int = 100
    """a descriptor file holds batch_size * batches_per_chunk pictures (50,000)"""
    gem_exponent: Optional[float] = 3.0
    """published quirk: the trained exponent of the pooling is thrown away for a fresh 3; None keeps the
    trained one"""

    def __post_init__(self):
        if not self.scales or min(self.scales) < 1 or len(set(self.scales)) != len(self.scales):
            raise Refusal(
                "expected extraction scales to be different positive sides, found {}".format(self.scales)
            )
        for name in ("batch_size", "batches_per_chunk"):
            if getattr(self, name) < 1:
                raise Refusal(
                    "expected extraction {} to be at least 1, found {}".format(name, getattr(self, name))
                )

    @property
    def portion(self):
        """Pictures that a loader process hands over at a time: the largest allowed part of a batch."""
        most = range(1, MOST_PER_WORKER_BATCH + 1)
        return max(part for part in most if self.batch_size % part == 0)

    def shared_memory(self, workers, group=1):
        """Bytes of shared memory that the decoded pictures of the largest scale need; group: rows that a
        source decodes together."""
        picture = 3 * max(self.scales) ** 2
        portion = max(self.portion, group)
        in_use = self.batch_size + (portion if group > 1 else 0)  # batches of groups begin within a portion
        return loader_bytes(workers, portion * picture, in_use * picture)


PUBLISHED = ExtractionRecipe()


def network_input(pictures):
    """uint8 (n, 3, h, w) to [0, 1], minus the ImageNet mean, over the ImageNet deviation: float32."""
    mean = torch.tensor(IMAGENET_MEAN, device=pictures.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=pictures.device).view(1, 3, 1, 1)
    return pictures.float().div_(255).sub_(mean).div_(std)


class Extractor:
    """Makes descriptors with one network, which it puts on `device`, in eval mode, with its pooling as the
    recipe says.

    `network`: an IscNetwork; `head`: the method of it that gives the feature. `reader`: a PictureReader (the
    default decodes in this process). Sources of pictures are as PictureReader takes them; each
    `preparation` is a Preparation. channels_last: on a CPU, order tensors so in memory, which it computes
    faster (results differ by rounding). Pickled, it goes to another machine's device.
    """

    def __init__(
        self, network, recipe=PUBLISHED, reader=None, device="cpu", head=HEADS[0], channels_last=False
    ):
        self._placed = PlacedNetwork(network.eval(), device, channels_last)
        self.recipe = recipe
        self.reader = PictureReader() if reader is None else reader
        self.head = head
        if recipe.gem_exponent is not None:
            network.fix_gem(recipe.gem_exponent)
        self._weights = _weights_digest(network)
        self._whitening, self._whitening_digest = None, None

    def __getstate__(self):
        whitening = None if self._whitening is None else [values.cpu() for values in self._whitening]
        return dict(self.__dict__, _whitening=whitening)

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self._whitening is not None:
            self._whitening = [values.to(self.device) for values in self._whitening]

    @property
    def network(self):
        return self._placed.network

    @property
    def device(self):
        return self._placed.device

    def whiten_by(self, pca):
        """Let features pass through this PcaMatrix from now on, before they are L2-normalised."""
        self._whitening = [torch.from_numpy(v).to(self.device) for v in (pca.offset, pca.matrix.T)]
        self._whitening_digest = pca.digest

    def to_files(self, images, preparation, pattern, folder=""):
        """Write the descriptors of `images` in chunk files named after `pattern`; return their paths.

        A chunk file that is whole and was made from these pictures' names by this network is kept. Pictures
        are named by their file, under `folder` where one is given. Refuses an unreadable picture by name.
        """
        step = self.recipe.batch_size * self.recipe.batches_per_chunk
        made_by = self._made_as(preparation, len(images))
        starts = range(0, len(images), step)
        paths = [chunk_path(pattern, chunk) for chunk in range(len(starts))]

        def rows_of(chunk):
            rows = range(starts[chunk], min(starts[chunk] + step, len(images)))
            return rows, [os.path.join(folder, images.names[row]) for row in rows]

        def make_worker():
            def write(chunk):
                rows, names = rows_of(chunk)
                _, vectors, skipped = self._describe(images, rows, preparation)
                _refuse_skipped(skipped, len(rows), "chunk")
                write_descriptors(paths[chunk], vectors, names, made_by)

            return write

        missing = [n for n, path in enumerate(paths) if not _is_finished(path, rows_of(n)[1], made_by)]
        work = map_units(make_worker, missing, 1, DEVICE, [os.path.dirname(os.fspath(pattern)) or "."])
        if len(missing) > 1:
            work = progress(work, len(missing), "chunks of " + os.path.basename(os.fspath(pattern)))
        for _ in work:
            pass
        return paths

    def in_memory(self, images, preparation):
        """The descriptors of the readable pictures: (rows int64 (n,), vectors float32 (n, d), skipped).

        `skipped` lists (name, reason) of the others.
        """
        return self._describe(images, range(len(images)), preparation)

    def features(self, images, rows, preparation):
        """The network's features of the pictures `rows`, neither whitened nor normalised: float32 (n, d).

        Refuses an unreadable picture by name.
        """
        _, vectors, skipped = self._describe(images, rows, preparation, finish=False)
        _refuse_skipped(skipped, len(rows), "selection")
        return vectors

    def _describe(self, images, rows, preparation, finish=True):
        kept, parts, skipped = [], [np.empty((0, 0), dtype=np.float32)], []
        batches = self.reader.batches(images, rows, preparation, self.recipe.batch_size, self.recipe.portion)
        with torch.no_grad(), exact():
            for batch_rows, pictures, rejected in batches:
                skipped.extend((images.names[row], reason) for row, reason in rejected)
                if batch_rows:
                    kept.extend(batch_rows)
                    features = self._features(torch.cat(pictures))
                    parts.append((self._finished(features) if finish else features).cpu().numpy())
        vectors = np.concatenate(parts[1:]) if kept else parts[0]
        return np.array(kept, dtype=np.int64), vectors, skipped

    def _features(self, pictures):
        inputs = network_input(pictures.to(self.device)).contiguous(memory_format=self._placed.order)
        return getattr(self.network, self.head)(inputs)

    def _finished(self, features):
        if self._whitening is not None:
            features = torch.addmm(self._whitening[0], features, self._whitening[1])
        return torch.nn.functional.normalize(features)

    def _made_as(self, preparation, rows):
        """What a chunk file was made by, as its attributes say it."""
        made_by = {
            "weights": self._weights,
            "size": str(preparation.size),
            "gem_exponent": str(self.recipe.gem_exponent),
        }
        made_by.update({flag: "True" for flag in ("blurred", "grey") if getattr(preparation, flag)})
        if self._whitening is not None:
            made_by.update(whitening=self._whitening_digest, rows=str(rows))
        return made_by


def _refuse_skipped(skipped, rows, what):
    if skipped:
        raise Refusal(
            "expected pictures that can be read, found {}: {} ({} of {} in this {}); replace or "
            "remove them".format(skipped[0][0], skipped[0][1], len(skipped), rows, what)
        )


def _is_finished(path, names, made_by):
    """Whether `path` is a whole chunk file of `names` made as `made_by` says; a damaged one is made again."""
    if not os.path.exists(path):
        return False
    try:
        if read_attributes(path) != made_by:
            return False
        ids, _ = read_descriptors([path])
    except Refusal:
        return False
    return ids == [descriptor_id(name) for name in names]


def _weights_digest(network):
    """SHA-256 over the names and values of the network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update("{} {}\n".format(name, tuple(tensor.shape)).encode("utf-8"))
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
