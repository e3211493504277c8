"""Mixing the pictures of a batch: mixup and CutMix, drawn once, stored, and done again alike."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional, Tuple

import numpy as np
import torch

from encore.runtime.seeds import derive_seed

KINDS = ("cutmix", "mixup", "none")
ALPHAS = {"mixup": 0.8, "cutmix": 1.0}
"""Published parameter of the Beta distribution (both sides) of each kind."""


class MixDraw(NamedTuple):
    """How a batch was mixed."""

    kind: str = "none"
    """"none", "mixup" or "cutmix"."""
    order: Optional[torch.Tensor] = None
    """int64 (b,): picture i is mixed with picture order[i] of the same batch; None without mixing."""
    share: Optional[float] = None
    """Share that a picture keeps (mixup), or from which the box was drawn (CutMix); None without mixing."""
    box: Optional[Tuple[int, int, int, int]] = None
    """CutMix: rows box[0] to box[2] and columns box[1] to box[3], ends excluded, come from the other."""


NONE = MixDraw()


def draw_mix(kind, count, size, alpha, seed, epoch, batch):
    """The MixDraw of one batch of `count` pictures of `size` x `size` pixels.

    One permutation, one share from Beta(alpha, alpha) and, for CutMix, one box for all pictures of the
    batch. The draws belong to the address (seed, "fkd", "mix", epoch, batch): published, they come from the
    process's global torch and NumPy generators, the second unseeded.
    """
    if kind == "none":
        return NONE
    address = derive_seed(seed, "fkd", "mix", epoch, batch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(address))
    draws = np.random.RandomState(np.array([address >> 32, address % 2**32], np.uint32))
    share = float(draws.beta(alpha, alpha))
    return MixDraw(kind, order, share, _box(share, size, draws) if kind == "cutmix" else None)


def _box(share, size, draws):
    """A square of (1 - share) of the area around an even draw of a row, then a column, cut at the edges."""
    half = int(size * math.sqrt(1.0 - share)) // 2
    row, column = int(draws.randint(size)), int(draws.randint(size))
    edges = (row - half, column - half, row + half, column + half)
    return tuple(min(max(edge, 0), size) for edge in edges)


def mixed_up(pixels, others, share):
    """Mixup of float pictures (n, 3, h, w), each with its own of `others`, into a new tensor."""
    return (share * pixels).add_((1 - share) * others)
