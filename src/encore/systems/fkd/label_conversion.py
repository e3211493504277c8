"""Labels from the published layout to ours and back, without loss."""

from __future__ import annotations

import dataclasses
import os

from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.systems.fkd.batch_order import SAMPLER_SEED, BatchOrder
from encore.systems.fkd.label_store import LabelStore, LabelStoreWriter
from encore.systems.fkd.labels import open_labels
from encore.systems.fkd.published_labels import write_batch


def convert(source, target, **known):
    """Convert the labels in the folder `source` into the other layout, in the folder `target`.

    known: for published labels what `to_store` takes. Returns the new Labels.
    """
    labels = open_labels(source)
    if not isinstance(labels, LabelStore):
        return to_store(labels, target, **known)
    given = sorted(name for name, value in known.items() if value is not None)
    if given:
        raise Refusal(
            "{}: {} given for labels that say so themselves: leave it out".format(source, ", ".join(given))
        )
    return to_published(labels, target)


def to_store(labels, folder, images=None, seed=None, top_k=None, temperature=None, **known):
    """Write published Labels as a store in `folder`, and return it; epochs that are there are kept.

    images: the ClassFolders that they were made of, so that a changed folder is refused later; without it
    only their number is known. seed: of the sampler (published: 42), from which the numbers of the pictures
    come. top_k and temperature: keep the largest classes only, which loses the others. known: other values
    of LabelDescription that published labels do not hold (size, min_scale, max_scale, mean, deviation,
    teacher).
    """
    seed = SAMPLER_SEED if seed is None else seed
    if images is not None:
        labels.check(images, labels.batch, labels.epochs, None, labels.mix)
        known["pictures"] = images.digest
    else:
        labels.check_files(labels.epochs)
    description = dataclasses.replace(
        labels.description, seed=seed, top_k=top_k, temperature=temperature, **known
    )
    writer = LabelStoreWriter(folder, description, None if images is None else images.names)
    order = BatchOrder(labels.count, labels.batch, seed)
    for epoch in progress(range(labels.epochs), labels.epochs, "epochs of labels"):
        if not writer.finished(epoch):
            writer.write(epoch, _with_indices(labels, order, epoch))
    return writer.finish()


def _with_indices(labels, order, epoch):
    for number in range(labels.batches):
        yield labels.load(epoch, number)._replace(indices=order.indices(epoch, number))


def to_published(labels, folder):
    """Write a LabelStore in the published layout in `folder`, and return its Labels.

    The layout holds no manifest: what it says beyond the batches has to be given again on the way back. One
    batch shorter than the batch size comes back as labels of its own size.
    Refusal for labels of the top classes, for a store in which another order than the sampler's is stored,
    which published labels cannot express, and for a folder that holds other epochs too.
    """
    if labels.top_k is not None:
        raise Refusal(
            "{}: labels of the top {} classes: the published layout holds all classes; convert labels of "
            "all".format(labels.folder, labels.top_k)
        )
    if os.path.exists(os.path.join(folder, "epoch_{}".format(labels.epochs))):
        raise Refusal("{}: holds labels of more epochs: remove it, or choose another folder".format(folder))
    labels.check_digests()
    seed = SAMPLER_SEED if labels.seed is None else labels.seed
    order = BatchOrder(labels.count, labels.batch, seed)
    for epoch in progress(range(labels.epochs), labels.epochs, "epochs of labels"):
        for number in range(labels.batches):
            batch = labels.load(epoch, number)
            if not batch.indices.equal(order.indices(epoch, number)):
                raise Refusal(
                    "{}: batch {}: not in the sampler's order (seed {}), which is the published layout's: "
                    "relabel".format(labels.epoch_path(epoch), number, seed)
                )
            write_batch(folder, epoch, number, batch)
    return open_labels(folder)
