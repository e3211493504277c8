"""Descriptors of the pictures below a folder, kept in shards on disk that a later run finds again."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import hashlib
import os
import sys
import zipfile
from typing import NamedTuple

import numpy as np

from encore.data.images import RejectedImage, decode_image
from encore.runtime.atomic import replacing
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal

BATCH = 32
"""Pictures that the network gets at a time; all of one shard."""
AHEAD = 2 * BATCH
"""Pictures that are decoded ahead of the network."""


class Shard(NamedTuple):
    """The rows `first` to `last` - 1 of a listing, and the file of their descriptors."""

    first: int
    last: int
    path: str


class KeptDescriptors:
    """The descriptors of the readable pictures of a PictureListing: a set of `tiling`, read from its Shards.

    `places` int64 (n,): the row of the listing of each descriptor; `rejected`: [(row of the listing,
    reason)].
    """

    def __init__(self, shards, width):
        self._shards, self._starts, places, self.rejected = shards, [0], [], []
        for shard in shards:
            rejected, reasons = _index(shard)
            readable = np.setdiff1d(np.arange(shard.last - shard.first), rejected, assume_unique=True)
            places.append(readable + shard.first)
            self._starts.append(self._starts[-1] + len(readable))
            self.rejected.extend((shard.first + int(row), str(why)) for row, why in zip(rejected, reasons))
        self.places = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
        self.shape = (self._starts[-1], width)

    def read(self, first, last):
        """float32 (last - first, d): the descriptors `first` to `last` - 1."""
        rows = np.empty((last - first, self.shape[1]), dtype=np.float32)
        number = int(np.searchsorted(self._starts, first, side="right")) - 1
        while number < len(self._shards) and self._starts[number] < last:
            begin, end = self._starts[number : number + 2]
            vectors = _vectors(self._shards[number].path, (end - begin, self.shape[1]))
            low, high = max(first, begin), min(last, end)
            rows[low - first : high - first] = vectors[low - begin : high - begin]
            number += 1
        return rows


def describe(listing, describer, folder, what, threads=1):
    """The KeptDescriptors of the pictures of `listing`, made by a Describer where they are not yet in
    `folder`.

    Each shard is addressed by the describer, the folder of the pictures, and every picture's name, size and
    time of change; it is there whole or not at all, and the same bytes whatever was made before it. `what`
    names the pictures on the progress bar; `threads` decode them. A line on stderr says how many are kept.
    """
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if ".tmp-" in name:  # of a run that was killed
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
    shards = [_shard(listing, first, last, describer, folder) for first, last in listing.shards()]
    missing = [shard for shard in shards if not _is_whole(shard)]
    count = sum(shard.last - shard.first for shard in missing)
    print(
        "encore: {}: {:,} files, descriptors of {:,} kept from before, {:,} to make".format(
            what, len(listing), len(listing) - count, count
        ),
        file=sys.stderr,
        flush=True,
    )
    if missing:
        rows = (row for shard in missing for row in range(shard.first, shard.last))
        pictures = iter(progress(_views(listing, rows, describer, threads), count, "descriptors of " + what))
        for shard in missing:
            _write(shard, describer, pictures)
        collections.deque(pictures, maxlen=0)  # lets the progress bar end
    return KeptDescriptors(shards, describer.width)


def _shard(listing, first, last, describer, folder):
    digest = hashlib.sha256(describer.address.encode("ascii") + listing.address(first, last)).hexdigest()
    return Shard(first, last, os.path.join(folder, digest[:40] + ".npz"))


def _write(shard, describer, pictures):
    """Describe a shard, whose views `pictures` yields next, and write it."""
    parts, rejected, batch = [np.empty((0, describer.width), dtype=np.float32)], [], []
    for place in range(shard.last - shard.first):
        views = next(pictures)
        if isinstance(views, RejectedImage):
            rejected.append((place, views.reason))
        else:
            batch.append(views)
        if len(batch) == BATCH:
            parts.append(describer.descriptors(batch))
            batch = []
    if batch:
        parts.append(describer.descriptors(batch))
    with replacing(shard.path) as file:
        np.savez(
            file,
            vectors=np.concatenate(parts),
            rejected=np.array([place for place, _ in rejected], dtype=np.int64),
            reasons=np.array([reason for _, reason in rejected], dtype="U"),
        )


def _views(listing, rows, describer, threads):
    """The views of each of `rows` in order, or its RejectedImage; Pillow decodes in several threads at
    once."""

    def made(row):
        try:
            return describer.views(_decoded(listing.read(row)))
        except RejectedImage as rejected:
            return rejected

    if threads <= 1:
        yield from map(made, rows)
        return
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting = collections.deque()
        try:
            for row in rows:
                waiting.append(pool.submit(made, row))
                if len(waiting) >= AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _decoded(data):
    """`decode_image`, with RejectedImage for whatever else a decoder fails with."""
    try:
        return decode_image(data)
    except (RejectedImage, MemoryError):
        raise
    except Exception as error:  # a damaged file can fail in any way in a decoder
        raise RejectedImage(
            "not a readable picture: {}".format(" ".join(repr(error).split())[:200])
        ) from error


def _is_whole(shard):
    try:
        _index(shard)
    except Refusal:
        return False
    return True


def _index(shard):
    """(rejected rows of the shard int64, their reasons) of its file; Refusal where that is none or
    damaged."""
    with _opened(shard.path) as stored:
        return stored["rejected"], stored["reasons"]


def _vectors(path, shape):
    with _opened(path) as stored:
        vectors = stored["vectors"]
        if vectors.shape != shape or vectors.dtype != np.float32:
            raise ValueError("{} of shape {}".format(vectors.dtype, vectors.shape))
        return vectors


@contextlib.contextmanager
def _opened(path):
    """The arrays of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Refusal(
            "{}: damaged ({}): remove it and run the same command again".format(
                path, " ".join(str(error).split()) or type(error).__name__
            )
        ) from None
