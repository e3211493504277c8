"""Many numbers as text with a fixed number of decimals, exactly as Python's "%.6f" writes each of them."""

from __future__ import annotations

import numpy as np

LARGEST = 2.0**52
"""Below it a float64 still has a half to round."""
EXACT_DECIMALS = 12
"""5^12 has 28 bits: a float32 times 10^12 has at most 24 + 28 significant ones, so is exact in float64."""


def decimal_texts(values, decimals=6):
    """uint8 (n, w): row by row the characters of `"%.<decimals>f" % value`, with zeros (no character) among
    them.

    `values` (n,): finite numbers. Python rounds the binary value itself, half to even; so does this: the
    value times 10^decimals is rounded, and where that product is not exact and lies so near a half that it
    matters, or is very large, Python's own formatting is asked.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("expected finite numbers")
    with np.errstate(over="ignore"):
        scaled = np.abs(values) * 10.0**decimals
    large = scaled >= LARGEST
    scaled[large] = 0
    whole = np.rint(scaled)
    near_half = np.abs(np.abs(scaled - whole) - 0.5) <= scaled * 2.0**-52
    text = _characters(whole.astype(np.int64), np.signbit(values), decimals)
    others = np.flatnonzero(large | (near_half & ~_exact_products(values, decimals)))
    spoken = [b"%.*f" % (decimals, value) for value in values[others].tolist()]
    longest = max([len(one) for one in spoken] + [text.shape[1]])
    if longest > text.shape[1]:
        text = np.pad(text, ((0, 0), (0, longest - text.shape[1])), "constant")
    for row, one in zip(others, spoken):
        text[row] = np.frombuffer(one.ljust(longest, b"\0"), dtype=np.uint8)
    return text


def _exact_products(values, decimals):
    """bool (n,): whether a value times 10^decimals is certainly exact in float64."""
    if decimals > EXACT_DECIMALS:
        return np.zeros(len(values), dtype=bool)
    with np.errstate(over="ignore"):
        return values.astype(np.float32) == values


def _characters(units, negative, decimals):
    """uint8 (n, w): the characters of `units` / 10^decimals (int64 (n,), not negative), zeros for leading
    ones."""
    digits = max(len(str(int(units.max()))) if len(units) else 1, decimals + 1)
    text = np.zeros((len(units), 1 + digits + (decimals > 0)), dtype=np.uint8)
    text[negative, 0] = ord("-")
    if decimals:
        text[:, -1 - decimals] = ord(".")
    rest = units.astype(np.uint32) if digits < 10 else units
    for place in range(digits):  # from the last digit on
        column = -1 - place - (decimals > 0 and place >= decimals)
        quotient = rest // 10
        digit = (rest - quotient * 10 + ord("0")).astype(np.uint8)
        text[:, column] = digit if place <= decimals else np.where(rest > 0, digit, 0)
        rest = quotient
    return text
