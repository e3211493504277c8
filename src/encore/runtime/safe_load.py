"""Loading torch files without ever running code from them."""

from __future__ import annotations

import os
import pickle
import re
import zipfile

from encore.runtime.refusal import Refusal

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Pickled magic number at the head of files from before torch 1.6."""

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
    "numpy.core._multiarray_umath": ("scalar",),
    "_codecs": ("encode",),
}
"""Globals that a file of tensors, numbers and plain containers needs; none of them runs what it is given."""

_NUMPY_HOMES = ("numpy.core.multiarray", "numpy.core._multiarray_umath", "numpy._core.multiarray")


class _ForbiddenGlobal(Exception):
    pass


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core")  # the name that numpy 2 writes
        if name not in ALLOWED.get(module, ()):
            raise _ForbiddenGlobal("%s.%s" % (module, name))
        return super().find_class(module, name)


class _RestrictedPickle:
    """What torch.load asks of a pickle module."""

    __name__ = "encore.runtime.safe_load"
    Unpickler = _RestrictedUnpickler

    @staticmethod
    def load(file, **options):
        return _RestrictedUnpickler(file, **options).load()


def safe_load(path, map_location="cpu"):
    """Load a file that torch.save wrote (zip or older form) -> its content, tensors on `map_location`.

    Holds tensors, numbers (numpy scalars too), strings and plain containers only. Refusal, naming the file,
    for one that is missing, truncated or no torch file, and naming the global for one that asks for any other
    code.
    """
    import torch

    path = os.fspath(path)
    _check_form(path)
    try:
        if hasattr(torch.serialization, "safe_globals"):
            with torch.serialization.safe_globals(_numpy_globals()):
                return torch.load(path, map_location=map_location, weights_only=True)
        return torch.load(path, map_location=map_location, pickle_module=_RestrictedPickle)
    except Exception as error:  # a damaged file can fail in any way; each becomes a refusal with its cause
        raise _refusal(path, error) from error


def _check_form(path):
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
    elif start != LEGACY_START:
        raise Refusal(
            "%s is not a file that torch.save wrote (%d bytes): copy or download it again, or "
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
