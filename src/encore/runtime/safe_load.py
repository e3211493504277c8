"""Loading torch files, and pickles of tensors, without ever running code from them."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re

from encore.runtime.bounded_file import file_size
from encore.runtime.pickle_check import STORAGE_IN_A_PICKLE, BoundedFile, PickleCheck
from encore.runtime.pickle_parts import ALLOWED, NUMPY_HOMES, ForbiddenGlobal
from encore.runtime.refusal import Refusal
from encore.runtime.torch_file_check import (
    LEGACY_START,
    ZIP_START,
    Program,
    check_storage_file,
    check_torch_file,
)

PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""Heads of a plain pickle, one a protocol; files from before torch 1.6 share the first."""
LARGEST_FILE = 1 << 36
"""Bytes: 64 GiB, ten times the largest checkpoint that a published size has."""


class _RestrictedUnpickler(pickle.Unpickler):
    inert = ()

    def find_class(self, module, name):
        if module in NUMPY_HOMES:
            module = NUMPY_HOMES[0]  # the one home that all versions can import
        if module.split(".")[0] in self.inert:
            return type(name, (_Inert,), {"__module__": module})
        if name not in ALLOWED.get(module, ()):
            raise ForbiddenGlobal("%s.%s" % (module, name))
        return super().find_class(module, name)


class _PlainUnpickler(_RestrictedUnpickler):
    """Reads a plain pickle: also the torch files inside it, which may hold one storage each and no further
    pickles."""

    def find_class(self, module, name):
        if (module, name) == STORAGE_IN_A_PICKLE:
            return _load_storage
        return super().find_class(module, name)


class _Inert:
    """Stands for a class of a package that is taken for empty ones; made or filled, it does nothing."""

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, _):
        pass

    def __setitem__(self, *_):
        pass


def _load_storage(data):
    import torch

    storage = _load_torch(io.BytesIO(data), "cpu")
    if not torch.is_storage(storage):
        raise pickle.UnpicklingError("expected the numbers of a tensor, found %s" % type(storage).__name__)
    return storage


def _restricted_pickle(inert):
    """What torch.load asks of a pickle module."""
    unpickler = type("_Unpickler", (_RestrictedUnpickler,), {"inert": tuple(inert)})

    class RestrictedPickle:
        __name__ = "encore.runtime.safe_load"
        Unpickler = unpickler

        @staticmethod
        def load(file, **options):
            return unpickler(file, **options).load()

    return RestrictedPickle


def safe_load(path, map_location="cpu", inert=()):
    """Load a file that torch.save wrote (zip or older form), or a plain pickle -> its content, tensors on
    `map_location` (those of a plain pickle on the CPU).

    Holds tensors, numbers (numpy scalars and arrays too), strings and plain containers only. inert: packages
    (of a torch file) whose classes become empty ones of the same name. What the file would make is checked
    before anything is made (`pickle_check`), the same under every version of torch; then it is loaded with
    `weights_only` where torch has it, and by a restricted unpickler where not, or where classes are inert:
    both take what the check lets through. Not read: complex, sparse and quantised tensors; complex numbers
    of Python, and its sets but in a plain pickle of protocol 4; arrays of numpy in a pickle of protocol 5
    (`_frombuffer`).
    Refusal, naming the file, for one that is missing, no plain file, truncated or neither of both, and naming
    the global for one that asks for any other code.
    """
    path = os.fspath(path)
    plain = _is_plain(path)
    try:
        with open(path, "rb") as file:
            if not plain:
                check_torch_file(file, inert)
                return _load_torch(path, map_location, inert)
            _check_plain(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            return _PlainUnpickler(file).load()
    except Program:
        raise Refusal(
            "%s is a TorchScript program, expected plain tensors: save the state dict instead" % path
        ) from None
    except Exception as error:  # a damaged file can fail in any way; each becomes a refusal with its cause
        raise _refusal(path, error) from error


def is_state_dict(content):
    """Whether what a file held is a dict of names and tensors."""
    import torch

    return isinstance(content, dict) and all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in content.items()
    )


def stored_bytes(state):
    """Bytes of the numbers that stand behind the tensors of a state dict, each counted once: a tensor may
    show one number again and again, and two tensors the same ones."""
    storages = (
        value.untyped_storage() if hasattr(value, "untyped_storage") else value.storage()
        for value in state.values()
    )
    return sum({s.data_ptr(): s.size() * s.element_size() for s in storages}.values())


def _check_plain(file, size):
    PickleCheck(BoundedFile(file, size), nested=lambda data: check_storage_file(io.BytesIO(data))).load()


def _load_torch(file, map_location, inert=()):
    import torch

    if not inert and hasattr(torch.serialization, "safe_globals"):
        with torch.serialization.safe_globals(_numpy_globals() + [argparse.Namespace]):
            return torch.load(file, map_location=map_location, weights_only=True)
    options = {"weights_only": False} if hasattr(torch.serialization, "add_safe_globals") else {}
    return torch.load(file, map_location=map_location, pickle_module=_restricted_pickle(inert), **options)


def _is_plain(path):
    """Whether the file at `path` is a plain pickle; Refusal where it cannot be loaded at all."""
    try:
        size = file_size(path, LARGEST_FILE)
        with open(path, "rb") as file:
            start = file.read(len(LEGACY_START))
    except OSError as error:
        raise Refusal(
            "expected a torch file at %s, found none (%s): check the path or make it first"
            % (path, error.strerror)
        ) from None
    if start.startswith(ZIP_START) or start == LEGACY_START:
        return False
    if start.startswith(PICKLE_STARTS):
        return True
    raise Refusal(
        "%s is not a file that torch.save wrote (%d bytes), nor a pickle: copy or download it again, or "
        "remove it" % (path, size)
    )


def _numpy_globals():
    import numpy

    core = getattr(numpy, "_core", None) or numpy.core
    scalar, reconstruct = core.multiarray.scalar, core.multiarray._reconstruct
    types = [type(numpy.dtype(code)) for code in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 ? c8 c16 S U O".split()]
    empty_bytes = [bytes, (bytes, "__builtin__.bytes")]
    elsewhere = [(scalar, module + ".scalar") for module in NUMPY_HOMES]  # names that other versions write
    elsewhere += [(reconstruct, module + "._reconstruct") for module in NUMPY_HOMES]
    return elsewhere + [scalar, reconstruct, numpy.dtype, numpy.ndarray] + types + empty_bytes


def _refusal(path, error):
    if isinstance(error, ForbiddenGlobal):
        forbidden = str(error)
    else:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        forbidden = named.group(1) if named else None
    if forbidden is not None:
        return Refusal(
            "%s asks to run %s when loaded, expected tensors and numbers only: do not use this "
            "file unless you know who made it" % (path, forbidden.rstrip("."))
        )
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if reason.startswith("Weights only load failed"):  # torch goes on to advise loading without a check
        reason = "a step that no file of tensors needs"
    return Refusal(
        "%s is damaged or incomplete (%s): copy or download it again, or remove it" % (path, reason)
    )
