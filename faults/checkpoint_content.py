"""Where two checkpoints differ, bit for bit."""

from __future__ import annotations

import torch


def differences(found, expected, place="state"):
    """Texts that say where two contents of checkpoints differ in keys, their order, types or numbers; NaN
    equals itself."""
    if isinstance(expected, torch.Tensor):
        return [] if _same(found, expected) else [f"{place} differs"]
    if isinstance(expected, dict):
        if not isinstance(found, dict) or list(found) != list(expected):
            return [f"{place} has other keys"]
        return [text for key in expected for text in differences(found[key], expected[key], f"{place}.{key}")]
    if isinstance(expected, (list, tuple)):
        if not isinstance(found, (list, tuple)) or len(found) != len(expected):
            return [f"{place} has another length"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [text for i, pair in pairs for text in differences(*pair, f"{place}[{i}]")]
    return [] if found == expected else [f"{place} is {found!r} instead of {expected!r}"]


def _same(found, expected):
    if not isinstance(found, torch.Tensor) or (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return False
    numbers = ~expected.isnan()
    return torch.equal(~found.isnan(), numbers) and torch.equal(found[numbers], expected[numbers])
