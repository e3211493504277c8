"""Centroids of classes as the kernel that a training stage starts from, the matrix W (spec drip 5.3)."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import struct
import sys
import zipfile
from collections import Counter
from typing import NamedTuple

import numpy as np
import torch

from encore.runtime.atomic import file_digest, replacing, write_json
from encore.runtime.numerics import exact
from encore.runtime.parameters import recipe_digest
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.systems.drip.step_failures import StepFailures
from encore.training.distributed import ALONE

NAME = "W.pickle"
RECORD = "W.json"
"""What the matrix beside it was made of, and its digest."""
PARTS = "W.parts"
"""Folder of the chunks that an unfinished matrix has so far."""
BATCH, CHUNK, PASSES = 64, 8192, 4


class Centroids(NamedTuple):
    """What `build_centroids` made, now or before."""

    path: str
    raised: dict
    """Step -> how often it raised in the augmented views."""
    views: int
    """Augmented views."""


def build_centroids(
    network,
    batches,
    folder,
    made_of,
    passes=PASSES,
    chunk=CHUNK,
    batch=BATCH,
    workers=0,
    device="cpu",
    processes=ALONE,
    failures=None,
):
    """Write W, float32 (features, classes), to `folder` and return Centroids.

    W = (P0 + P1 + ... + Ppasses) / (passes + 1): column c of P0 is the descriptor of the clean view of class
    c, of the others that of an augmented view of their own. In float32 without autocast or TF32, in
    evaluation mode. Published: 4 passes, batch 64, and columns that are not scaled to norm 1 again, so they
    are shorter than it, the more so the more the views of a class differ.

    network: a module on `device`, float32 (n, 3, h, w) -> (n, features); its mode is as before afterwards.
    batches: ViewBatches, of all classes. made_of: name -> text, what W depends on besides batch and passes
    (weights, intensity, classes, seed). A W of the same is kept, a killed run goes on with the chunk (of
    `chunk` classes, in whole batches) that is missing, and a W of anything else, or without a record, is made
    again (published: any W.pickle is taken), and so is a file that is not the one which was written. workers:
    see ViewBatches. processes: each makes its share of the chunks; all must call. failures: StepFailures that
    the views of W are added to, in equal numbers on all processes; None: none are too many. Refusal for a
    descriptor that is not finite, and, before a chunk is kept, where steps raise too often.
    """
    failures = StepFailures(1) if failures is None else failures
    made_of = dict(made_of, passes=str(passes), batch=str(batch))
    chunk = -(-chunk // batch) * batch  # whole batches, or a descriptor's last bits would depend on it
    work = _Work(folder, made_of, len(batches.views), chunk)
    if not processes.first_says("kept" if processes.is_first and work.begin() else None, device):
        os.makedirs(work.parts, exist_ok=True)
        own, raised = range(processes.rank, work.chunks, processes.count), StepFailures(failures.threshold)
        missing = [number for number in own if not work.is_finished(number)]
        for number in sorted(set(own) - set(missing)):
            raised.add(work.raised(number), passes * len(work.range(number)))
        _describe(network, batches, work, missing, passes, batch, workers, device, raised)
        processes.barrier()
        if processes.is_first:
            work.finish(passes * len(batches.views), failures.threshold)
        processes.barrier()
    result = work.result()
    failures.add(result.raised, result.views)
    return result


def write_w(path, matrix):
    """Write float32 (features, classes) as the published pickle of a numpy array, atomically.

    Its bytes are the same under all versions of numpy, and all of them can load it.
    """
    matrix = np.asarray(matrix, dtype=np.float32)
    if matrix.ndim != 2:
        raise ValueError("expected (features, classes), found {}".format(matrix.shape))
    _write_columns(path, matrix.shape, [matrix.T])


def read_w(path, shape):
    """The float32 (features, classes) of a `W.pickle`, ours or a published one; nothing in it is run.

    Refusal for a missing or damaged file and one that asks for code, and for another type or shape than
    `shape`, and numbers that are not finite.
    """
    matrix = safe_load(path)
    found = type(matrix).__name__
    if isinstance(matrix, np.ndarray):
        found = "{} {}".format(matrix.dtype, matrix.shape)
    if found != "float32 {}".format(tuple(shape)):
        raise Refusal(
            "{}: expected the centroids as float32 {}, found {}: make them for these classes".format(
                path, tuple(shape), found
            )
        )
    if not np.isfinite(matrix).all():
        raise Refusal("{}: expected finite centroids, found NaN or infinity: make them again".format(path))
    return matrix


def _write_columns(path, shape, blocks):
    """Write W of `shape` from its columns: `blocks` of float32 (n, features), n classes each.

    Published: W is the transpose of stacked descriptors, which numpy pickles column by column.
    """
    features, classes = shape
    with replacing(path) as file:
        file.write(_PICKLE_HEAD + struct.pack("<sisi", b"J", features, b"J", classes))
        file.write(_PICKLE_TYPE + struct.pack("<sQ", b"\x8e", 4 * features * classes))
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4").data)
        file.write(_PICKLE_END)


_PICKLE_HEAD = (
    b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"  # version 1
)
_PICKLE_TYPE = (
    b"\x86cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x88"  # True: column by column
)
_PICKLE_END = b"tb."
"""Protocol 4 around a float32 array, opcode by opcode: `pickle` would take the names of the running numpy,
which versions before 1.26 do not know, and copy a matrix of 1.5 GB."""


class _Work:
    """The matrix in `folder`, its record, and its chunks: files of float32 (n, features), below the digest of
    what they are made of."""

    def __init__(self, folder, made_of, classes, chunk):
        self.folder, self.made_of = os.fspath(folder), made_of
        self.path, self.record = (os.path.join(self.folder, name) for name in (NAME, RECORD))
        self.parts = os.path.join(self.folder, PARTS, recipe_digest(made_of, chunk)[:16])
        self.classes, self.chunk = classes, chunk
        self.chunks = -(-classes // chunk)

    def begin(self):
        """Whether the matrix is there and made of the same; removes what a killed run left that no run can go
        on with."""
        for path in glob.glob(glob.escape(self.path) + ".tmp-*"):
            os.unlink(path)
        kept = self._is_kept()
        if kept:
            shutil.rmtree(os.path.join(self.folder, PARTS), ignore_errors=True)
        return kept

    def _is_kept(self):
        try:
            recorded = self._recorded()
            if recorded["made_of"] != self.made_of or not os.path.isfile(self.path):
                return False
            written = recorded["bytes"], recorded["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if os.path.getsize(self.path) == written[0] and file_digest(self.path) == written[1]:
            return True
        print(
            "encore: warning: {}: not the file that {} describes: it is made again".format(self.path, RECORD),
            file=sys.stderr,
        )
        return False

    def result(self):
        """The Centroids of a matrix that is there."""
        recorded = self._recorded()
        return Centroids(self.path, recorded["raised"], recorded["views"])

    def range(self, number):
        """The classes of a chunk."""
        return range(number * self.chunk, min((number + 1) * self.chunk, self.classes))

    def is_finished(self, number):
        """Whether a chunk is there; a damaged one is made again."""
        if not os.path.isfile(self._part(number)):
            return False
        try:
            return len(self._read(number)[0]) == len(self.range(number))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False

    def raised(self, number):
        """What raised while a finished chunk was made."""
        return self._read(number)[1]

    def write(self, number, centroids, raised):
        """Keep a chunk: float32 (n, features), and what raised while it was made."""
        with replacing(self._part(number)) as file:
            np.savez(file, centroids=centroids, raised=np.array(json.dumps(dict(raised))))

    def finish(self, views, threshold):
        """Put the matrix together, made of so many augmented `views`, and remove its chunks; remove them too
        where steps raised in more than `threshold` of all views, which each process has seen of its own."""
        raised = Counter()
        for number in range(self.chunks):
            raised.update(self.raised(number))
        try:
            StepFailures(threshold).add(raised, views)
        except Refusal:
            shutil.rmtree(self.parts)
            raise
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.record)  # it is of the matrix before; one without a record is made again
        shape = self._read(0)[0].shape[1], self.classes
        _write_columns(self.path, shape, (self._read(number)[0] for number in range(self.chunks)))
        written = {"bytes": os.path.getsize(self.path), "sha256": file_digest(self.path)}
        write_json(self.record, dict(written, made_of=self.made_of, raised=dict(raised), views=views))
        shutil.rmtree(os.path.join(self.folder, PARTS))

    def _recorded(self):
        with open(self.record, encoding="utf-8") as file:
            return json.load(file)

    def _part(self, number):
        return os.path.join(self.parts, "{:06d}.npz".format(number))

    def _read(self, number):
        with np.load(self._part(number), allow_pickle=False) as content:
            return content["centroids"], json.loads(str(content["raised"]))


def _describe(network, batches, work, chunks, passes, batch, workers, device, failures):
    """Make the chunks of these numbers; all their batches come from one set of loader processes. What raised
    is added to `failures` before a chunk is kept."""
    keys = [
        (number, pass_, first, min(first + batch, work.range(number).stop))
        for number in chunks
        for pass_ in range(passes + 1)
        for first in range(work.range(number).start, work.range(number).stop, batch)
    ]
    made = batches.in_order([key[1:] for key in keys], workers)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), exact(), torch.autocast(torch.device(device).type, enabled=False):
            made = progress(zip(keys, made), len(keys), "batches of centroids")
            _sum_up(network, work, made, passes, device, failures)
    finally:
        network.train(was_training)


def _sum_up(network, work, made, passes, device, failures):
    total, raised, current = None, Counter(), None
    for (number, pass_, first, last), views in made:
        rows, views = work.range(number), views.on(device)
        descriptors = network(views.clean if pass_ == 0 else views.augmented)
        if number != current:
            total = descriptors.new_zeros((len(rows), descriptors.shape[1]))
            raised, current = Counter(), number
        total[first - rows.start : last - rows.start] += descriptors
        raised.update(views.raised)
        if (pass_, last) == (passes, rows.stop):
            failures.add(raised, passes * len(rows))
            work.write(number, _mean(total, passes + 1, rows), raised)


def _mean(total, count, classes):
    """Published: without scaling to norm 1."""
    centroids = total.cpu().numpy() / np.float32(count)
    broken = np.flatnonzero(~np.isfinite(centroids).all(axis=1))
    if len(broken):
        raise Refusal(
            "the descriptors of class {} ({} such of {} to {}) are not finite: take other weights".format(
                classes[broken[0]], len(broken), classes[0], classes[-1]
            )
        )
    return centroids
