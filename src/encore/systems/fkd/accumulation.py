"""One update from several chunks of a batch, for GPUs of little memory."""

from __future__ import annotations

from typing import NamedTuple

from encore.runtime.refusal import Refusal


class Chunk(NamedTuple):
    """Rows [first, last) of a batch, and what the mean loss over them is divided by."""

    first: int
    last: int
    divisor: float


def chunk_size(batch, steps):
    """Rows of a chunk of `batch` rows cut into `steps`; Refusal unless they are equal."""
    if steps < 1 or batch % steps:
        raise Refusal(
            "accumulation (%d) must divide the batch (%d): choose one of its divisors" % (steps, batch)
        )
    return batch // steps


def chunks(rows, batch, steps, unbiased=False):
    """The chunks of a batch with `rows` rows, where a whole one has `batch` rows and `steps` chunks.

    Published quirk, kept: each chunk counts as the mean over its own rows divided by `steps`, in the last
    batch of an epoch too, which may have fewer chunks and a short one: the rows of the short chunk weigh
    more, and where a chunk is missing the gradient is smaller. BatchNorm sees chunks, so `steps` changes the
    result. unbiased: every row weighs 1 / rows.
    """
    size = chunk_size(batch, steps)
    cut = [(first, min(first + size, rows)) for first in range(0, rows, size)]
    return [Chunk(first, last, rows / (last - first) if unbiased else steps) for first, last in cut]
