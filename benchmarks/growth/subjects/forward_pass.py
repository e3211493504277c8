"""Descriptors of a batch on the CPU, one thread, by the multiply-adds of the forward pass."""

from __future__ import annotations

from benchmarks.growth.subjects import training_step
from benchmarks.growth.subjects.training_step import SHORT, SIZES

OF = training_step.OF
OUTPUT, PER_OBJECT = False, None
__all__ = ["OF", "OUTPUT", "PER_OBJECT", "SHORT", "SIZES", "ready"]


def ready(folder, n):
    import torch

    from benchmarks.gpu_check.throughput import extraction_call

    return extraction_call(training_step.size_of(n), torch.device("cpu"))
