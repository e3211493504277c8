"""The labels of one epoch of n pictures, 100 classes in float16: written, opened, and every batch read."""

from __future__ import annotations

import os

from benchmarks.growth.subjects import half_decades

OF = "pictures"
OUTPUT, PER_OBJECT, BATCH, CLASSES = True, None, 500, 100
SIZES = tuple(BATCH * round(size / BATCH) for size in half_decades(3, 6))  # whole batches
SHORT = (BATCH, 2 * BATCH, 4 * BATCH)


def ready(folder, n):
    from benchmarks.label_reading import batches, read_store
    from encore.systems.fkd.label_batch import LabelDescription
    from encore.systems.fkd.label_store import LabelStoreWriter

    description = LabelDescription(n, BATCH, 1, CLASSES, "cutmix", "float16")

    def work():
        writer = LabelStoreWriter(os.path.join(folder, "output"), description)
        writer.write(0, batches(description))
        read_store(writer.finish())

    return work
