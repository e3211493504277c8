"""How fast the labels of one epoch are read, every value, from our store and from the published files.

One epoch of 50,000 pictures in batches of 1024, CutMix, float16, 1000 classes: 49 published files, 101 MB.
Both sides read files that lie in memory, in turns; the published side as its loader does, `torch.load` of
each file. Also: what a picture takes on disk, and how long a run of 300 epochs (14,700 published files)
takes to open. `python -m benchmarks.label_reading` prints JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time

import numpy as np
import torch

from encore.systems.fkd.batch_order import BatchOrder
from encore.systems.fkd.label_batch import LabelBatch, LabelDescription
from encore.systems.fkd.label_store import LabelStoreWriter
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.mixing import MixDraw
from encore.systems.fkd.published_labels import batch_path, write_batch

COUNT, BATCH, CLASSES = 50000, 1024, 1000
EPOCHS = 300
TOP_K, TEMPERATURE = 40, 20.0
REPEATS = 9


def batches(description):
    """The LabelBatches of an epoch, of random values."""
    draws, order = np.random.RandomState(0), BatchOrder(description.count, description.batch)
    for number in range(description.batches):
        rows = description.rows(number)
        logits = draws.standard_normal((rows, description.classes)).astype(np.float16)
        yield LabelBatch(
            order.indices(0, number),
            torch.from_numpy(draws.uniform(0, 1, (rows, 4)).astype(np.float32)),
            torch.from_numpy(draws.randint(0, 2, rows).astype(bool)),
            MixDraw("cutmix", torch.from_numpy(draws.permutation(rows)), 0.5, (0, 10, 100, 110)),
            torch.from_numpy(logits),
        )


def touched(tensors):
    """The sum of all 2-byte words of the tensors: no value can be left unread."""
    return sum(
        int(tensor.reshape(-1).view(torch.uint8).numpy().view(np.uint16).sum(dtype=np.uint64))
        for tensor in tensors
    )


def read_store(labels):
    """The sum over an epoch of a store."""
    total = 0
    for number in range(labels.batches):
        batch = labels.load(0, number)
        total += touched((batch.coords, batch.flips, batch.mix.order, batch.logits))
    return total


def read_published(folder, count):
    """The same from `count` published files of epoch 0."""
    total = 0
    for number in range(count):
        coords, flips, order, _, _, logits = torch.load(batch_path(folder, 0, number))
        total += touched((coords, flips, order, logits))
    return total


def write_layouts(folder, description):
    """Write one epoch in each layout; (store, published folder, bytes of both and of the top classes)."""
    store, published, top = (os.path.join(folder, name) for name in ("store", "published", "top"))
    labels = _stored(store, description)
    for number in range(description.batches):
        write_batch(published, 0, number, labels.load(0, number))
    values = dict(vars(description), top_k=TOP_K, temperature=TEMPERATURE)
    top_path = _stored(top, LabelDescription(**values)).epoch_path(0)
    size = sum(os.path.getsize(batch_path(published, 0, number)) for number in range(description.batches))
    return labels, published, size, os.path.getsize(labels.epoch_path(0)), os.path.getsize(top_path)


def _stored(folder, description):
    writer = LabelStoreWriter(folder, description)
    writer.write(0, batches(description))
    return writer.finish()


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def opening(folder, store, published, description):
    """Seconds to open and check a run of EPOCHS epochs of each layout: the epochs are links to the first."""
    manifest = os.path.join(store, "manifest.json")
    with open(manifest, encoding="utf-8") as file:
        content = json.load(file)
    content["labels"]["epochs"], content["files"] = EPOCHS, content["files"] * EPOCHS
    with open(manifest, "w", encoding="utf-8") as file:
        json.dump(content, file)
    for epoch in range(1, EPOCHS):
        os.symlink("epoch_0", os.path.join(published, "epoch_{}".format(epoch)))
    return {
        "seconds_to_open_store": seconds(lambda: open_labels(store)),
        "seconds_to_open_published": seconds(lambda: open_labels(published)),
        "seconds_to_check_published_files": seconds(lambda: open_labels(published).check_files(EPOCHS)),
    }


def run(count=COUNT, batch=BATCH, classes=CLASSES, repeats=REPEATS):
    """Flat dict: seconds to read an epoch from both layouts and their ratio, bytes a picture, seconds to
    open."""
    description = LabelDescription(count, batch, 1, classes, "cutmix", "float16", seed=42)
    with tempfile.TemporaryDirectory() as folder:
        labels, published, published_bytes, store_bytes, top_bytes = write_layouts(folder, description)
        expected = read_published(published, labels.batches)
        if read_store(labels) != expected:
            raise AssertionError("the two layouts hold different labels")
        times = {"store": [], "published": []}
        for _ in range(repeats):  # in turns, so that a busy moment does not fall on one side alone
            times["store"].append(seconds(lambda: read_store(open_labels(labels.folder))))
            times["published"].append(seconds(lambda: read_published(published, labels.batches)))
        opened = opening(folder, labels.folder, published, description)
    values = {"seconds_" + side: statistics.median(found) for side, found in times.items()}
    return dict(
        values,
        ratio=values["seconds_store"] / values["seconds_published"],
        bytes_a_picture_published=published_bytes / count,
        bytes_a_picture_store=store_bytes / count,
        bytes_a_picture_top_classes=top_bytes / count,
        store_over_published_bytes=store_bytes / published_bytes,
        top_classes_over_published_bytes=top_bytes / published_bytes,
        **opened,
    )


if __name__ == "__main__":
    print(json.dumps(run(), indent=1, sort_keys=True))
