"""Mutations of a valid file by hypothesis: flipped, cut, repeated, spliced, with other numbers in it."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from faults.hostile.corpus import kept_inputs
from faults.hostile.isolation import SECONDS, WALL
from faults.hostile.reading import reading

LAST = "last-input"
"""The file in the folder that holds what is being tried: a child that dies cannot tell."""
NUMBERS = (0, 1, -1, 255, 2**15, 2**31 - 1, -(2**31), 2**32, 2**62, -(2**63))


@st.composite
def mutations(draw, samples):
    """Bytes: one of `samples` after one to four changes."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        _CHANGES[draw(st.sampled_from(sorted(_CHANGES)))](draw, data, at, samples)
    return bytes(data)


def _flip(draw, data, at, _):
    if data:
        data[at] ^= 1 << draw(st.integers(0, 7))


def _write(draw, data, at, _):
    data[at : at + 4] = draw(st.binary(max_size=8))


def _cut(draw, data, at, _):
    del data[at : at + draw(st.integers(1, max(1, len(data))))]


def _repeat(draw, data, at, _):
    part = data[at : at + draw(st.integers(1, 64))]
    data[at:at] = part * draw(st.integers(1, 50))


def _splice(draw, data, at, samples):
    other = draw(st.sampled_from(samples))
    start = draw(st.integers(0, max(0, len(other) - 1)))
    data[at : at + draw(st.integers(0, 32))] = other[start : start + draw(st.integers(1, 64))]


def _number(draw, data, at, _):
    form = draw(st.sampled_from(("<q", ">q", "<i", ">i", "<h", ">h")))
    size = struct.calcsize(form)
    number = draw(st.sampled_from(NUMBERS)) & (256**size - 1)
    data[at : at + size] = number.to_bytes(size, "little" if form[0] == "<" else "big")


_CHANGES = {
    "cut": _cut,
    "flip": _flip,
    "number": _number,
    "repeat": _repeat,
    "splice": _splice,
    "write": _write,
}


def try_mutations(reader, folder, examples):
    """("returned", JSON of {"tried", "found"}): how many inputs were tried, and {name of the file in
    `folder`: what is wrong} of those on which the reader did anything but return or refuse in time."""
    target = reader.sample(folder)
    before, last, found, tried = target.read_bytes(), folder / LAST, {}, 0
    samples = [before, *kept_inputs(reader)]

    @seed(int(hashlib.sha256(reader.name.encode()).hexdigest()[:8], 16))
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(samples))
    def once(data):
        nonlocal tried
        tried += 1
        last.write_bytes(data)
        target.write_bytes(data)
        end, text = timed_reading(reader, target)
        if end not in ("returned", "refused"):
            name = "found-" + hashlib.sha256(data).hexdigest()[:16]
            (Path(folder) / name).write_bytes(data)
            found[name] = text

    once()
    last.unlink(missing_ok=True)
    return "returned", json.dumps({"tried": tried, "found": found})


def timed_reading(reader, path):
    """(end, text) of one reading, which has failed where it took more than SECONDS of processor time or WALL
    seconds in all: the child has a limit only for all of its mutations."""
    worked, began = time.process_time(), time.monotonic()
    end, text = reading(reader, path)
    worked, took = time.process_time() - worked, time.monotonic() - began
    if end in ("returned", "refused") and (worked > SECONDS or took > WALL):
        return "failed", f"{end} after {worked:.1f} s of processor time, {took:.1f} s in all"
    return end, text
