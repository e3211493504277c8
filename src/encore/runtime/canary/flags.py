"""The flags the canary computes under: one CPU thread, no TF32, deterministic cuDNN without benchmark."""

from __future__ import annotations

import contextlib
import warnings

from encore.runtime.numerics import exact

FLAGS = "threads-1_tf32-off"


@contextlib.contextmanager
def pinned():
    """Set the flags, and give back what was set before when the block ends."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), exact():
            warnings.simplefilter("ignore")  # a CUDA build without a driver says so
            yield
    finally:
        torch.set_num_threads(threads)
