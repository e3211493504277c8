"""Label sets for tests: golden ones, drawn ones, and published files written by their description alone."""

from __future__ import annotations

import json
import os

import numpy as np
import torch
from golden_files import golden

from encore.systems.fkd.batch_order import BatchOrder
from encore.systems.fkd.label_batch import LabelBatch, LabelDescription
from encore.systems.fkd.mixing import MixDraw

GOLDEN_SETS = (
    "cutmix_fp16",
    "mixup_fp16",
    "none_fp32",
    "cutmix_fp32",
    "cutmix_fp16_workers2",
    "cutmix_fp16_224",
    "mixup_fp16_224",
)
COUNT, BATCH, CLASSES = 40, 16, 5


def golden_labels(name):
    return str(golden("fkd/labels/{}/epoch_0/batch_0.tar".format(name)).parent.parent)


def golden_images():
    return str(golden("fkd/images/new000/class000_id000.jpg").parent.parent)


def golden_rows(name):
    with open(str(golden("fkd/relabel/{}.json".format(name))), encoding="utf-8") as file:
        return json.load(file)["rows"]


def drawn_batch(description, epoch, number, seed=0):
    """A LabelBatch of random values."""
    draws = np.random.RandomState(seed * 1000 + epoch * 100 + number)
    rows = description.rows(number)
    order = BatchOrder(
        description.count, description.batch, 42 if description.seed is None else description.seed
    )
    coords = torch.from_numpy(draws.uniform(0, 1, (rows, 4)).astype(np.float32))
    flips = torch.from_numpy(draws.randint(0, 2, rows).astype(bool))
    mix = MixDraw()
    if description.mix != "none":
        top, left, height, width = (int(value) for value in draws.randint(0, 200, 4))
        box = (top, left, top + height, left + width) if description.mix == "cutmix" else None
        mix = MixDraw(
            description.mix, torch.from_numpy(draws.permutation(rows)), float(draws.beta(1, 1)), box
        )
    logits = draws.standard_normal((rows, description.classes)) * 20
    logits = torch.from_numpy(logits.astype(description.dtype))
    return LabelBatch(order.indices(epoch, number), coords, flips, mix, logits)


def described(**changes):
    values = dict(count=COUNT, batch=BATCH, epochs=2, classes=CLASSES, mix="cutmix", dtype="float16", seed=42)
    return LabelDescription(**dict(values, **changes))


def same(one, other, indices=True):
    """Whether two LabelBatches hold the same bits, types included."""
    names = ["coords", "flips", "logits"] + (["indices"] if indices else [])
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    if one.mix.kind != "none":
        pairs.append((one.mix.order, other.mix.order))
    tensors = all(
        a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        for a, b in pairs
    )
    rest = [(mix.kind, mix.share, mix.box) for mix in (one.mix, other.mix)]
    return tensors and rest[0] == rest[1] and type(one.mix.share) is type(other.mix.share)


def write_as_published(folder, epoch, number, batch, numpy_share=False):
    """A file of the published layout as its description says (a list of six), box and share as numpy scalars:
    not by the code under test."""
    mix = batch.mix
    box = None if mix.box is None else [np.int64(edge) for edge in mix.box]
    share = np.float64(mix.share) if numpy_share and mix.share is not None else mix.share
    parts = [batch.coords, batch.flips, mix.order, share, box, batch.logits]
    target = os.path.join(str(folder), "epoch_%d" % epoch)
    os.makedirs(target, exist_ok=True)
    torch.save(parts, os.path.join(target, "batch_%d.tar" % number))


def write_set(folder, description, numpy_share=False):
    for epoch in range(description.epochs):
        for number in range(description.batches):
            write_as_published(folder, epoch, number, drawn_batch(description, epoch, number), numpy_share)
    return str(folder)
