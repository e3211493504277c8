"""How torch computes on a GPU: the short TF32 format, and which cuDNN algorithms it may choose."""

from __future__ import annotations

import contextlib
import sys
import warnings

PLACES = {
    "tf32_matmul": (lambda torch: torch.backends.cuda.matmul, "allow_tf32"),
    "tf32_cudnn": (lambda torch: torch.backends.cudnn, "allow_tf32"),
    "cudnn_benchmark": (lambda torch: torch.backends.cudnn, "benchmark"),
    "cudnn_deterministic": (lambda torch: torch.backends.cudnn, "deterministic"),
}
"""Where torch keeps each flag."""
EXACT = {"tf32_matmul": False, "tf32_cudnn": False, "cudnn_benchmark": False, "cudnn_deterministic": True}

_worked_with = {}


@contextlib.contextmanager
def exact():
    """Multiply in float32 proper, as a V100 does (no TF32), with cuDNN's deterministic algorithms, none tried
    out; also a decorator. What was set before comes back at the end.
    """
    import torch

    before = _flags(torch)
    _set(torch, EXACT)
    _worked_with.update(_flags(torch))
    try:
        yield
    finally:
        _set(torch, before)


def numerics():
    """The flags as they were during the work of this process: those of `exact` where it ran, else those that
    hold now. Empty while torch is not loaded.
    """
    torch = sys.modules.get("torch")
    return {} if torch is None else dict(_worked_with or _flags(torch))


def _flags(torch):
    deterministic = getattr(torch, "are_deterministic_algorithms_enabled", None) or torch.is_deterministic
    with _without_notice():
        flags = {name: getattr(place(torch), key) for name, (place, key) in PLACES.items()}
    return dict(flags, deterministic_algorithms=deterministic())


def _set(torch, flags):
    with _without_notice():
        for name, (place, key) in PLACES.items():
            setattr(place(torch), key, flags[name])


@contextlib.contextmanager
def _without_notice():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*TF32.*")  # later versions of torch announce new names
        yield
