"""Hostile pickles and torch files, as cases."""

from __future__ import annotations

import io
import zipfile

from faults.hostile import pickles
from faults.hostile.case import BOMB, CANARY, CODE, OUTSIDE, Case

TORCH = ("torch zip", "torch legacy")
STEPS = "5 million steps"


def cases():
    """In every form: a pickle alone, in torch's zip form and in its older one."""
    found = [_pickled(CODE, name, "pickle", _only) for name in pickles.code_pickles("")]
    for form, packed in (("torch zip", pickles.in_torch_zip), ("torch legacy", pickles.in_torch_legacy)):
        found += [_pickled(CODE, name, form, packed) for name in pickles.code_pickles("")]
    for name, data in pickles.broken_pickles().items():
        found += _in_all_forms(BOMB, name, data) if name != STEPS else []
    for built in (pickles.endless_keys(), pickles.repeated_copies(), pickles.broken_types()):
        for name, data in built.items():
            found += _in_all_forms(BOMB, name, data)
    found.append(_bytes(BOMB, "one torch file 64 times", "pickle", pickles.repeated_storage()))
    names = pickles.endless_storage_names()
    found.append(_bytes(BOMB, "2^40 tuples as names of storages", "torch legacy", names))
    found.append(_bytes(OUTSIDE, "a tar archive too", "torch legacy", pickles.tar_and_legacy()))
    for name, data in pickles.harmless_bombs().items():
        found.append(_bytes(BOMB, name, "pickle", data, harmless="it is small, and nothing walks through it"))
    for name, (pickled, storage) in pickles.broken_tensors().items():
        found.append(_bytes(BOMB, name, "torch zip", pickles.in_torch_zip(pickled, storage)))
        found.append(_bytes(BOMB, name, "torch legacy", pickles.in_torch_legacy(pickled, storage)))
    return found + _archives()


def long_cases():
    """Those that take seconds, for the full size only."""
    return _in_all_forms(BOMB, STEPS, pickles.broken_pickles()[STEPS])


def _only(data):
    return data


def _in_all_forms(family, name, data):
    packed = (("pickle", data), ("torch zip", pickles.in_torch_zip(data)))
    packed += (("torch legacy", pickles.in_torch_legacy(data)),)
    return [_bytes(family, name, form, content) for form, content in packed]


def _pickled(family, name, form, packed):
    def make(sample, around):
        sample.write_bytes(packed(pickles.code_pickles(str(around / CANARY))[name]))

    return Case(family, f"{name}, {form}", make, (form,))


def _bytes(family, name, form, data, harmless=""):
    def make(sample, _):
        sample.write_bytes(data)

    return Case(family, f"{name}, {form}", make, (form,), harmless)


def _archives():
    """Zip files that are not what torch.save writes, around a valid pickle."""
    good, six = pickles.tensor(), bytes(24)
    twice = [("archive/data.pkl", b"\x80\x02}.")]
    outside = [("../escaped", b"x")]
    absolute = [("/tmp/escaped", b"x")]
    found = [
        _bytes(OUTSIDE, "a name twice", "torch zip", pickles.in_torch_zip(good, six, twice)),
        _bytes(OUTSIDE, "a name with ..", "torch zip", pickles.in_torch_zip(good, six, outside)),
        _bytes(OUTSIDE, "an absolute name", "torch zip", pickles.in_torch_zip(good, six, absolute)),
        _bytes(OUTSIDE, "two folders", "torch zip", pickles.in_torch_zip(good, six, [("b/data.pkl", good)])),
        _bytes(OUTSIDE, "a second pickle in capitals", "torch zip", pickles.in_capitals()),
        _bytes(OUTSIDE, "two directories", "torch zip", pickles.two_directories()),
        _bytes(BOMB, "1,000 to 1 compressed", "torch zip", _compressed(good)),
        _bytes(BOMB, "encrypted", "torch zip", _flagged(pickles.in_torch_zip(good, six))),
        _bytes(BOMB, "a directory with other sizes", "torch zip", _resized(pickles.in_torch_zip(good, six))),
    ]
    return found


def _compressed(good):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", good)
        archive.writestr("archive/data/0", bytes(1 << 24))
    return file.getvalue()


def _flagged(data):
    at = data.index(b"PK\x01\x02") + 8
    return data[:at] + b"\x01" + data[at + 1 :]


def _resized(data):
    at = data.index(b"PK\x01\x02") + 20
    return data[:at] + b"\xf0\xff\xff\x7f" * 2 + data[at + 8 :]
