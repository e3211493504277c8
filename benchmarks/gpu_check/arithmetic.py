"""How numbers are multiplied: exact float32 as every claim, and shorter formats that no claim uses."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import torch

from encore.runtime.numerics import exact


class Mode(NamedTuple):
    """A way to run float32 networks."""

    name: str
    tf32: bool = False
    autocast: bool = False
    """Convolutions and matrix products in bfloat16."""

    @property
    def for_claims(self):
        return not (self.tf32 or self.autocast)


EXACT = Mode("exact float32")
MODES = (EXACT, Mode("TF32", tf32=True), Mode("bf16 autocast", autocast=True))
FIRST_WITH_SHORT_FORMATS = (8, 0)


def missing_unit(mode, device):
    """Why the device cannot compute in `mode`, or None."""
    if mode.for_claims or device.type != "cuda":
        return None
    capability = torch.cuda.get_device_capability(device)
    if capability >= FIRST_WITH_SHORT_FORMATS:
        return None
    return "needs sm_80, found sm_{}{}".format(*capability)


@contextlib.contextmanager
def arithmetic(mode, device):
    """Within the block, compute as `mode` says, otherwise as in training: deterministic, nothing tuned."""
    with exact(), contextlib.ExitStack() as stack:
        if mode.autocast:
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = mode.tf32
        yield


@contextlib.contextmanager
def examined(device):
    """Within the block, compute exactly; the CPU, where it stands for a GPU, sums in another order.

    Without oneDNN the CPU has other float32 kernels, so that a dry run compares different arithmetic too.
    """
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = before and device.type != "cpu"
    try:
        with arithmetic(EXACT, device):
            yield
    finally:
        torch.backends.mkldnn.enabled = before
