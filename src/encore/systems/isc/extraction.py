"""Descriptors of pictures at one scale: the 256-d "matrix" features of the network (spec isc-track2 3)."""

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
from encore.data.images import RejectedImage, decode_image
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST_PER_WORKER_BATCH = 50  # decoded pictures travel in portions of at most this many, to spare shared memory


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

    def shared_memory(self, workers):
        """Bytes of shared memory that the decoded pictures of the largest scale need."""
        picture = 3 * max(self.scales) ** 2
        return loader_bytes(workers, self.portion * picture, self.batch_size * picture)


PUBLISHED = ExtractionRecipe()


def read_picture(data, size):
    """Decode `data`, convert to RGB, resize by Pillow's bicubic filter: uint8 (3, size, size)."""
    from encore.data.augment.resample import resize

    image = decode_image(data)
    try:
        image = image.convert("RGB")
    except ValueError as error:
        raise RejectedImage("no conversion from mode {} to RGB".format(image.mode)) from error
    image = resize(image, (size, size))
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def network_input(pictures):
    """uint8 (n, 3, h, w) to [0, 1], minus the ImageNet mean, over the ImageNet deviation: float32."""
    mean = torch.tensor(IMAGENET_MEAN, device=pictures.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=pictures.device).view(1, 3, 1, 1)
    return pictures.float().div_(255).sub_(mean).div_(std)


class Extractor:
    """Makes descriptors with one network, which it puts on `device`, in eval mode, with its pooling as the
    recipe says.

    `network`: an IscNetwork with matrix head. `images` is an object with `names`, `read(i) -> bytes` and a
    length. Decoding runs in `workers` processes (0: in this one); the result does not depend on how many.
    """

    def __init__(self, network, recipe=PUBLISHED, workers=0, device="cpu"):
        self.network = network.to(device).eval()
        self.recipe = recipe
        self.workers = workers
        self.device = torch.device(device)
        if recipe.gem_exponent is not None:
            network.fix_gem(recipe.gem_exponent)
        self._weights = _weights_digest(network)

    def to_files(self, images, size, pattern):
        """Write the descriptors of `images` at `size` pixels in chunk files named after `pattern`; return
        their paths.

        A chunk file that is whole and was made from these pictures' names by this network is kept. Refuses an
        unreadable picture by name.
        """
        step = self.recipe.batch_size * self.recipe.batches_per_chunk
        paths = []
        for chunk, first in enumerate(range(0, len(images), step)):
            path = chunk_path(pattern, chunk)
            paths.append(path)
            rows = range(first, min(first + step, len(images)))
            names = [images.names[row] for row in rows]
            made_by = {
                "weights": self._weights,
                "size": str(size),
                "gem_exponent": str(self.recipe.gem_exponent),
            }
            if _is_finished(path, names, made_by):
                continue
            _, vectors, skipped = self._describe(images, rows, size)
            if skipped:
                raise Refusal(
                    "expected pictures that can be read, found {}: {} ({} of {} in this chunk); replace or "
                    "remove them".format(skipped[0][0], skipped[0][1], len(skipped), len(rows))
                )
            write_descriptors(path, vectors, names, made_by)
        return paths

    def in_memory(self, images, size):
        """The descriptors of the readable pictures: (rows int64 (n,), vectors float32 (n, d), skipped).

        `skipped` lists (name, reason) of the others.
        """
        return self._describe(images, range(len(images)), size)

    def _describe(self, images, rows, size):
        kept, parts, skipped = [], [np.empty((0, 0), dtype=np.float32)], []
        with torch.no_grad(), exact():
            for batch_rows, pictures, rejected in self._batches(images, rows, size):
                skipped.extend((images.names[row], reason) for row, reason in rejected)
                if len(batch_rows):
                    kept.extend(batch_rows)
                    parts.append(self._features(torch.cat(pictures)).cpu().numpy())
        vectors = np.concatenate(parts[1:]) if kept else parts[0]
        return np.array(kept, dtype=np.int64), vectors, skipped

    def _features(self, pictures):
        return torch.nn.functional.normalize(self.network.descriptor(network_input(pictures.to(self.device))))

    def _batches(self, images, rows, size):
        """Yield (rows read, their pictures as uint8 parts, [(row, reason)]) for every batch_size of
        `rows`."""
        batch = self.recipe.batch_size
        loader = torch.utils.data.DataLoader(
            _Pictures(images, rows, size),
            batch_size=self.recipe.portion,
            shuffle=False,
            num_workers=self.workers,
            collate_fn=_collate,
        )
        read, pictures, rejected, waiting = [], [], [], 0
        for portion_read, portion_pictures, portion_rejected in loader:
            read.extend(portion_read)
            pictures.extend(portion_pictures)
            rejected.extend(portion_rejected)
            waiting += len(portion_read) + len(portion_rejected)
            if waiting == batch:
                yield read, pictures, rejected
                read, pictures, rejected, waiting = [], [], [], 0
        if waiting:
            yield read, pictures, rejected


class _Pictures(torch.utils.data.Dataset):
    """Items are (row, uint8 (3, size, size), None), or (row, None, reason) for a picture that cannot be
    read."""

    def __init__(self, images, rows, size):
        self.images, self.rows, self.size = images, rows, size

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        row = self.rows[position]
        try:
            return row, read_picture(self.images.read(row), self.size), None
        except RejectedImage as rejected:
            return row, None, rejected.reason


def _collate(items):
    """(rows read, [their pictures, uint8 (n, 3, size, size)] or [], [(row, reason)])."""
    read = [(row, picture) for row, picture, reason in items if reason is None]
    pictures = [torch.from_numpy(np.stack([picture for _, picture in read]))] if read else []
    return (
        [row for row, _ in read],
        pictures,
        [(row, reason) for row, _, reason in items if reason is not None],
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
