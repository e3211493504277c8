"""Loading torch files, and pickles of tensors, without ever running code from them."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import zipfile

from encore.runtime.refusal import Refusal

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Pickled magic number at the head of files from before torch 1.6."""
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""Heads of a plain pickle, one a protocol; files from before torch 1.6 share the first."""

ALLOWED = {
    "collections": ("OrderedDict", "Counter"),
    "torch": (
        "Size",
        "device",
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "bool",
        "HalfStorage",
        "FloatStorage",
        "DoubleStorage",
        "BFloat16Storage",
        "ByteStorage",
        "CharStorage",
        "ShortStorage",
        "IntStorage",
        "LongStorage",
        "BoolStorage",
    ),
    "torch._utils": ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"),
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "_codecs": ("encode",),
    "argparse": ("Namespace",),
}
"""Globals that a file of tensors, numbers and plain containers needs; none of them runs what it is given.
Namespace: torchvision's reference training puts its command line beside the weights."""

STORAGE_IN_A_PICKLE = ("torch.storage", "_load_from_bytes")
"""What a plain pickle asks for to read a tensor's numbers, a torch file inside the pickle; torch's function
loads anything, and is never called."""

_NUMPY_HOMES = (
    "numpy.core.multiarray",
    "numpy.core._multiarray_umath",
    "numpy._core.multiarray",
    "numpy._core._multiarray_umath",
)
"""Where versions of numpy say that `scalar` and `_reconstruct` live."""


class _ForbiddenGlobal(Exception):
    pass


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module in _NUMPY_HOMES:
            module = "numpy.core.multiarray"  # the one home that all versions can import
        if name not in ALLOWED.get(module, ()):
            raise _ForbiddenGlobal("%s.%s" % (module, name))
        return super().find_class(module, name)


class _PlainUnpickler(_RestrictedUnpickler):
    """Reads a plain pickle: also the torch files inside it, which may hold one storage each and no further
    pickles."""

    def find_class(self, module, name):
        if (module, name) == STORAGE_IN_A_PICKLE:
            return _load_storage
        return super().find_class(module, name)


def _load_storage(data):
    import torch

    storage = _load_torch(io.BytesIO(data), "cpu")
    if not torch.is_storage(storage):
        raise pickle.UnpicklingError("expected the numbers of a tensor, found %s" % type(storage).__name__)
    return storage


class _RestrictedPickle:
    """What torch.load asks of a pickle module."""

    __name__ = "encore.runtime.safe_load"
    Unpickler = _RestrictedUnpickler

    @staticmethod
    def load(file, **options):
        return _RestrictedUnpickler(file, **options).load()


def safe_load(path, map_location="cpu"):
    """Load a file that torch.save wrote (zip or older form), or a plain pickle -> its content, tensors on
    `map_location` (those of a plain pickle on the CPU).

    Holds tensors, numbers (numpy scalars and arrays too), strings and plain containers only. Refusal, naming
    the file, for one that is missing, truncated or neither of both, and naming the global for one that asks
    for any other code.
    """
    path = os.fspath(path)
    plain = _check_form(path)
    try:
        if not plain:
            return _load_torch(path, map_location)
        with open(path, "rb") as file:
            return _PlainUnpickler(file).load()
    except Exception as error:  # a damaged file can fail in any way; each becomes a refusal with its cause
        raise _refusal(path, error) from error


def _load_torch(file, map_location):
    import torch

    if hasattr(torch.serialization, "safe_globals"):
        with torch.serialization.safe_globals(_numpy_globals() + [argparse.Namespace]):
            return torch.load(file, map_location=map_location, weights_only=True)
    return torch.load(file, map_location=map_location, pickle_module=_RestrictedPickle)


def _check_form(path):
    """Whether the file at `path` is a plain pickle; Refusal where it cannot be loaded at all."""
    if not os.path.isfile(path):
        raise Refusal("expected a torch file at %s, found none: check the path or make it first" % path)
    with open(path, "rb") as file:
        start = file.read(len(LEGACY_START))
    if start.startswith(ZIP_START):
        if not zipfile.is_zipfile(path):
            raise Refusal(
                "%s is damaged or incomplete (its zip directory is missing): copy or download it "
                "again, or "
                "remove it" % path
            )
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise Refusal(
                "%s is a TorchScript program, expected plain tensors: save the state dict instead" % path
            )
        return False
    if start == LEGACY_START:
        return False
    if start.startswith(PICKLE_STARTS):
        return True
    raise Refusal(
        "%s is not a file that torch.save wrote (%d bytes), nor a pickle: copy or download it again, or "
        "remove it" % (path, os.path.getsize(path))
    )


def _numpy_globals():
    import numpy

    core = getattr(numpy, "_core", None) or numpy.core
    scalar, reconstruct = core.multiarray.scalar, core.multiarray._reconstruct
    numbers = [
        type(numpy.dtype(code))
        for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    ]
    elsewhere = [(scalar, module + ".scalar") for module in _NUMPY_HOMES]  # names that other versions write
    elsewhere += [(reconstruct, module + "._reconstruct") for module in _NUMPY_HOMES]
    return elsewhere + [scalar, reconstruct, numpy.dtype, numpy.ndarray] + numbers


def _refusal(path, error):
    if isinstance(error, _ForbiddenGlobal):
        forbidden = str(error)
    else:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        forbidden = named.group(1) if named else None
    if forbidden is not None:
        return Refusal(
            "%s asks to run %s when loaded, expected tensors and numbers only: do not use this "
            "file unless you "
            "know who made it" % (path, forbidden.rstrip("."))
        )
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return Refusal(
        "%s is damaged or incomplete (%s): copy or download it again, or remove it" % (path, reason)
    )
