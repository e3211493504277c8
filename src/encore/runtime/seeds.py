"""Every unit of work is addressed by its seed."""

from __future__ import annotations

import hashlib


def derive_seed(seed, *address):
    """The seed of one unit of work: a 63-bit integer that depends on `seed` and the whole `address` only.

    `address` is what names the unit, e.g. ("isc_track2", "generate", class_id, copy): strings and integers.
    Two different addresses get independent seeds; how many workers ran before plays no part.
    """
    for part in (seed,) + address:
        if isinstance(part, bool) or not isinstance(part, (int, str)):
            raise TypeError("a seed address holds strings and integers, not {!r}".format(part))
    text = "\x1f".join("{}:{}".format(type(part).__name__, part) for part in (seed,) + address)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1
