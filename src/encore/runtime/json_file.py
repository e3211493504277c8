"""JSON that others wrote, with bounds that are checked before it is parsed."""

from __future__ import annotations

import json
import re

from encore.runtime.bounded_file import LARGEST_TEXT, read_bounded

DEEPEST = 100
"""Blocks within blocks; the deepest file that is read here has 6."""
MOST_DIGITS = 400
"""Of a whole number; a float64 has at most 309 before the point. Reading n digits takes n^2 steps."""
_TOKENS = re.compile(rb'"[^"]*"?|([\[{])|([\]}])')
"""A text (of data without escaped quotes), an opening or a closing bracket; it never has to go back."""
_STEPS = {None: 0, 1: 1, 2: -1}
"""What a token adds to the depth, by its group."""


def read_json_file(path, largest=LARGEST_TEXT, pairs=None):
    """What a JSON file in UTF-8 holds. `pairs`: makes an object of its [(key, value)], for those who look
    for keys that stand twice.

    OSError where it cannot be opened; Refusal as `bounded_file.read_bounded`; ValueError, in one line, for
    what is no JSON, more than DEEPEST blocks within each other, and whole numbers of more than MOST_DIGITS.
    """
    return parse_json(read_bounded(path, largest), pairs)


def parse_json(data, pairs=None):
    """What `data` (bytes) say; ValueError as of read_json_file."""
    _check_depth(data)
    return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_int=_whole)


def _check_depth(data):
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return
    depth = 0
    # Outside of a text a backslash is an error, with which the parser ends: what follows does not count.
    for token in _TOKENS.finditer(data.replace(b"\\\\", b"").replace(b'\\"', b"")):
        depth += _STEPS[token.lastindex]
        if depth > DEEPEST:
            raise ValueError("more than {} blocks within each other".format(DEEPEST))


def _whole(digits):
    if len(digits) > MOST_DIGITS:
        raise ValueError("a whole number of {} digits".format(len(digits)))
    return int(digits)
