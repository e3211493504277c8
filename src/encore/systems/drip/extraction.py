"""Descriptors of pictures by their sample ids: the clean view, in float32 (spec drip 6.3)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch

from encore.data.loader_processes import made_in_order
from encore.runtime.atomic import replacing
from encore.runtime.numerics import exact
from encore.runtime.parameters import limited
from encore.runtime.placed_network import PlacedNetwork
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import ReadingAhead, map_units, on_cluster
from encore.runtime.shared_memory import loader_bytes
from encore.runtime.unit_needs import DEVICE
from encore.search.tiling import first_row_not_finite
from encore.systems.drip.clean_view import NORMALISATIONS, VIEW_SIZE, clean_view, three_channels
from encore.systems.drip.network import UnitNorm
from encore.systems.drip.stacked_views import stacked
from encore.systems.drip.view_batches import normalised_pixels

PORTION = 50
"""Most pictures that a loader process hands over at a time, to spare shared memory."""


@dataclass(frozen=True)
class ExtractionRecipe:
    """How descriptors are made; the defaults are the published values."""

    batch: int = limited(400, low=1)
    batches_per_chunk: int = limited(100, low=1)
    """Batches that are lost at most when a run is killed."""
    size: int = limited(VIEW_SIZE, low=1)
    """Side of the view in pixels."""
    normalisation: str = limited("imagenet", choices=NORMALISATIONS)
    flip: bool = False
    """Whether the descriptor is the sum with that of the flipped view, at unit length again (published: an
    option that is off, and that no result used). Published quirk: the flip is upside down."""

    def shared_memory(self, workers):
        """Bytes of shared memory that views need."""
        view = 3 * self.size**2
        return loader_bytes(workers, min(PORTION, self.batch) * view, self.batch * view)


class DescriptorChunks:
    """The descriptors of some pictures in files of `height` rows each: a set of `tiling`.

    `shape`: (pictures, numbers of a descriptor). The folder belongs to one network, recipe and list of ids.
    """

    def __init__(self, folder, name, shape, height):
        self.folder, self.name, self.shape, self.height = str(folder), name, shape, height

    @property
    def ranges(self):
        """(first row, row after the last one) of each file."""
        count = self.shape[0]
        return [(first, min(first + self.height, count)) for first in range(0, count, self.height)]

    def read(self, first, last):
        """float32 (last - first, d): the rows `first` to `last` - 1."""
        rows = np.empty((last - first, self.shape[1]), dtype=np.float32)
        for number in range(first // self.height, -(-last // self.height)):
            begin = number * self.height
            part = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
            start, end = max(first, begin), min(last, begin + len(part))
            rows[start - first : end - first] = part[start - begin : end - begin]
        return rows

    def write(self, number, rows):
        """Write file `number`, whole or not at all."""
        with replacing(self._path(number)) as file:
            np.save(file, rows, allow_pickle=False)

    def missing(self):
        """The numbers of the files that are not there yet."""
        return [number for number in range(len(self.ranges)) if not os.path.isfile(self._path(number))]

    def _path(self, number):
        return os.path.join(self.folder, "{}_{}.npy".format(self.name, number))


def extract(network, width, pictures, ids, recipe, folder, name, workers=0, device="cpu"):
    """Make the descriptors of the pictures `ids` (SampleIds) and return them as DescriptorChunks, in order.

    network: a module on `device`, float32 (n, 3, size, size) -> (n, width), put in eval mode here. pictures:
    SamplePictures, each in its own mode. folder, name: of the chunk files; those that a killed run left are
    kept. No autocast, no TF32, no view but the clean one, nothing done to the descriptors. The result does
    not depend on `workers`. Refusal, naming the picture, for one that is missing or cannot be read, and for a
    descriptor that is not finite.
    """
    os.makedirs(str(folder), exist_ok=True)
    pictures.require(ids)
    chunks = DescriptorChunks(folder, name, (len(ids), width), recipe.batch * recipe.batches_per_chunk)
    missing = chunks.missing()
    placed = PlacedNetwork(network.eval(), device)
    work = map_units(
        lambda: _ChunkWriter(placed, chunks, pictures, ids, recipe, workers), missing, 1, DEVICE, [folder]
    )
    for _ in progress(work, len(missing), "chunks of " + name) if on_cluster() else work:
        pass
    return chunks


class _ChunkWriter(ReadingAhead):
    """Number of a chunk -> its file, written; views are read ahead of the network."""

    def __init__(self, placed, chunks, pictures, ids, recipe, workers):
        self.placed, self.chunks, self.pictures, self.ids = placed, chunks, pictures, ids
        self.recipe, self.workers = recipe, workers

    def each(self, units):
        step, name = self.recipe.batch, self.chunks.name
        ranges = [self.chunks.ranges[number] for number in units]
        batches = [
            (first, min(first + step, end)) for begin, end in ranges for first in range(begin, end, step)
        ]
        views = _views(self.pictures, self.ids, self.recipe.size, batches, self.workers)
        described = _described(self.placed, progress(views, len(batches), "batches of " + name), self.recipe)
        for number, (begin, end) in zip(units, ranges):
            rows = np.concatenate([next(described) for _ in range(begin, end, step)])
            bad = first_row_not_finite(rows)
            if bad is not None:
                raise Refusal(
                    "{}: its descriptor holds NaN or infinity: look at that picture and at the "
                    "network".format(self.ids[begin + bad])
                )
            yield self.chunks.write(number, rows)
        for _ in described:  # lets the progress bar and the loader end
            pass


def _described(placed, views, recipe):
    for pixels in views:
        with torch.no_grad(), exact():
            inputs = normalised_pixels(pixels.to(placed.device), recipe.normalisation)
            found = placed.network(inputs)
            if recipe.flip:
                found = UnitNorm()(found + placed.network(inputs.flip(2)))
            yield found.float().cpu().numpy()


def _views(pictures, ids, size, batches, workers):
    """uint8 (n, 3, size, size) of each of `batches`, (first, last) in `ids`."""
    portions = [
        (begin, min(begin + PORTION, last))
        for first, last in batches
        for begin in range(first, last, PORTION)
    ]
    made = made_in_order(_Portion(pictures, ids, size), portions, workers)
    for first, last in batches:
        yield torch.cat([next(made) for _ in range(first, last, PORTION)])


class _Portion:
    """(first, last) -> the views of these ids."""

    def __init__(self, pictures, ids, size):
        self.pictures, self.ids, self.size = pictures, ids, size

    def __call__(self, key):
        first, last = key
        return stacked(map(self._view, self.ids[first:last]), last - first, self.size)

    def _view(self, sample_id):
        try:
            view = three_channels(clean_view(self.pictures.open(sample_id), self.size))
        except ValueError as error:
            raise Refusal(
                "{}: {}: make the resized copies again from an RGB picture".format(sample_id, error)
            ) from None
        return view.transpose(2, 0, 1)
