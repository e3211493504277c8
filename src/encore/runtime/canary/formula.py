"""Inputs and weights that are the same bits on every machine: integer arithmetic and powers of two only."""

from __future__ import annotations

import numpy

STREAM = 1 << 20  # numbers a stream has


def uniform(stream, *shape):
    """float32 array of `shape` with values in [-1, 1), multiples of 2^-23, so all 24 bits are in use.

    Entry i is the murmur3 finaliser of stream * 2^20 + i, its upper 24 bits scaled; streams do not overlap.
    """
    count = int(numpy.prod(shape))
    if not 0 < count <= STREAM:
        raise ValueError("{} numbers: a stream has 1 to {}".format(count, STREAM))
    mixed = murmur3_finaliser(numpy.arange(stream * STREAM, stream * STREAM + count, dtype=numpy.uint32))
    values = (mixed >> numpy.uint32(8)).astype(numpy.float64) / 2.0**23 - 1.0
    return values.astype(numpy.float32).reshape(shape)


def murmur3_finaliser(values):
    """The 32-bit finaliser of MurmurHash3 (a bijection) of a uint32 array."""
    values = values ^ (values >> numpy.uint32(16))
    values = values * numpy.uint32(0x85EBCA6B)
    values = values ^ (values >> numpy.uint32(13))
    values = values * numpy.uint32(0xC2B2AE35)
    return values ^ (values >> numpy.uint32(16))
