"""What a pickle may make, tensors, arrays and numbers: stand-ins that know whether their parts fit."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict

from encore.runtime.refusal import brief

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
    "__builtin__": ("bytes",),
    "builtins": ("bytes",),
}
"""Globals that a file of tensors, numbers and plain containers needs; none of them runs what it is given.
Namespace: torchvision's reference training puts its command line beside the weights. bytes: protocol 2
writes an empty one, and each array without elements, as bytes()."""
NUMPY_HOMES = (
    "numpy.core.multiarray",
    "numpy.core._multiarray_umath",
    "numpy._core.multiarray",
    "numpy._core._multiarray_umath",
)
"""Where versions of numpy say that `scalar` and `_reconstruct` live."""
MOST_DIMENSIONS = 32
LONGEST_KEY = 32
"""Parts of a tuple that is a key."""
KEY_BITS = 64
"""Of a whole number that is a key."""
ENTRY_BYTES = 8
"""What an entry of a container counts for when a call copies it: in a file it takes 4 and more."""
SMALL = 1 << 20
"""Elements that a tensor may have beyond those of its storage, by strides of 0, or an array without bytes."""
ITEM_BYTES = {
    "HalfStorage": 2,
    "FloatStorage": 4,
    "DoubleStorage": 8,
    "BFloat16Storage": 2,
    "ByteStorage": 1,
    "CharStorage": 1,
    "ShortStorage": 2,
    "IntStorage": 4,
    "LongStorage": 8,
    "BoolStorage": 1,
}
_NUMBERS = {code: int(code[1:]) for code in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 c8 c16".split()}
_ORDERS = ("<", ">", "|", "=")


class ForbiddenGlobal(Exception):
    """A pickle asks for a global that no file of numbers needs; the message is its name."""


class Storage:
    """The numbers of a tensor: how many there are."""

    def __init__(self, count, item_bytes):
        self.count, self.bytes = count, count * item_bytes


class Global:
    """A function or class by its name: it is neither looked for nor imported."""

    def __init__(self, module, name):
        self.key = module, name

    def __str__(self):
        return ".".join(self.key)


class Made:
    """Stands for a thing whose parts were checked."""


class Inert(Made):
    """Stands for one of a class that is taken for an empty one."""


class Bytes(Made):
    """So many bytes, which were passed over."""

    def __init__(self, count):
        self.count = count


class Type(Made):
    """A numpy type: its code, and what its state may say of bytes, alignment and flags."""

    def __init__(self, code):
        kind, digits = code[:1], code[1:]
        if code in _NUMBERS:
            self.bytes, self.details = _NUMBERS[code], (-1, -1, 0)
        elif kind in ("S", "U") and digits.isdigit() and len(digits) < 7:
            width = 4 if kind == "U" else 1
            self.bytes = int(digits) * width
            self.details = (self.bytes, width, 8 if kind == "U" else 0)
        elif code in ("O", "O8"):
            self.bytes, self.details = None, (-1, -1, 63)
        else:
            raise wrong("a number type", code)


class Array(Made):
    """An array whose state has not come yet."""


class Namespace(Made):
    """Names and values of a command line."""


def storage_of(name):
    """(key, Storage) of a torch file's persistent id: ("storage", type, key, place, elements[, None])."""
    if type(name) is not tuple or len(name) not in (5, 6) or name[0] != "storage" or any(name[5:]):
        raise wrong("the name of a storage", name)
    kind, key, place, count = name[1:5]
    known = isinstance(kind, Global) and kind.key[0] == "torch" and kind.key[1] in ITEM_BYTES
    if not known or type(key) is not str or type(place) is not str or type(count) is not int or count < 0:
        raise wrong("type, name, place and elements of a storage", name)
    return key, Storage(count, ITEM_BYTES[kind.key[1]])


def _namespace():
    return Namespace()


def _tensor(storage, offset, size, stride, *_):
    numbers = (offset,)
    for part in (size, stride):
        if type(part) is not tuple or len(part) > MOST_DIMENSIONS:
            raise wrong("the size and strides of a tensor", part)
        numbers += part
    if not isinstance(storage, Storage) or any(type(number) is not int or number < 0 for number in numbers):
        raise wrong("a storage, size and strides", numbers)
    elements, last = 1, offset
    for length, step in zip(size, stride):
        elements, last = elements * length, last + (length - 1) * step
    if len(size) != len(stride) or (elements and last >= storage.count):
        raise wrong("a tensor within the {} elements of its storage".format(storage.count), (size, stride))
    if elements > max(storage.count, SMALL):
        raise wrong("at most {} elements".format(max(storage.count, SMALL)), size)
    return Made()


def _parameter(tensor, *_):
    if type(tensor) is not Made:
        raise wrong("a tensor", tensor)
    return Made()


def _size(lengths):
    short = type(lengths) in (tuple, list) and len(lengths) <= MOST_DIMENSIONS
    if not short or any(type(length) is not int for length in lengths):
        raise wrong("the size of a tensor", lengths)
    return lengths


def _device(*place):
    if [type(part) for part in place] not in ([str], [str, int]):
        raise wrong("the name of a device", place)
    return Made()


def _ordered(pairs=None):
    """pairs: a list, as Python 2 wrote it."""
    made = OrderedDict()
    if pairs is not None and type(pairs) is not list:
        raise wrong("a list of names and values", pairs)
    for pair in pairs or ():
        if type(pair) not in (tuple, list) or len(pair) != 2:
            raise wrong("a name and a value", pair)
        made[checked_key(pair[0])] = pair[1]
    return made


def _counter(counts=None):
    if counts is not None and type(counts) is not dict:
        raise wrong("counts", counts)
    return Counter()


def _type(code, *_):
    if type(code) is not str:
        raise wrong("the name of a number type", code)
    return Type(code)


def _scalar(kind, data):
    if not isinstance(kind, Type) or kind.bytes is None or _length(data) != kind.bytes:
        raise wrong("a number and its type", data)
    return Made()


def _empty_array(kind, shape, code):
    if getattr(kind, "key", None) != ("numpy", "ndarray") or shape != (0,) or _length(code) != 1:
        raise wrong("an empty array", shape)
    return Array()


def _encoded(text, encoding="latin1"):
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise wrong("bytes as text", encoding)
    return text.encode("latin1")


def _no_bytes():
    return b""


MAKERS = {
    ("collections", "OrderedDict"): _ordered,
    ("collections", "Counter"): _counter,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("numpy", "dtype"): _type,
    (NUMPY_HOMES[0], "scalar"): _scalar,
    (NUMPY_HOMES[0], "_reconstruct"): _empty_array,
    ("_codecs", "encode"): _encoded,
    ("argparse", "Namespace"): _namespace,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
}
"""What may be called; the rest of ALLOWED is for naming only."""


def checked_key(key):
    """`key`, of a dict or set; pickle.UnpicklingError for one whose hash takes more than a few steps."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > LONGEST_KEY or not all(map(_may_be_key, parts)):
        raise wrong("a text or number as a key, or a few of them", key)
    return key


def _may_be_key(part):
    if type(part) is int:
        return part.bit_length() <= KEY_BITS
    return part is None or isinstance(part, (str, bytes, float, bool, Made, Global))


def copied_bytes(value):
    """Bytes that a call which is given `value` copies of it: of a text each, of a container ENTRY_BYTES an
    entry."""
    if type(value) is str:
        return len(value)
    if type(value) in (list, dict):
        return len(value) * ENTRY_BYTES
    return max(_length(value), 0)


def check_type_state(kind, state):
    fits = type(state) is tuple and len(state) in (8, 9) and state[0] in (3, 4) and state[1] in _ORDERS
    if not fits or state[2:5] != (None, None, None) or state[5:8] != kind.details:
        raise wrong("the state of a number type", state)
    if any(state[8:]):
        raise wrong("a number type without further data", state)


def check_array_state(state):
    """Bytes, or values, of the array, which is made of a copy of them."""
    if type(state) is not tuple or len(state) != 5 or not isinstance(state[2], Type):
        raise wrong("the state of an array", state)
    _, shape, kind, _, data = state
    whole = type(shape) is tuple and all(type(length) is int and length >= 0 for length in shape)
    if not whole or len(shape) > MOST_DIMENSIONS:
        raise wrong("the shape of an array", shape)
    elements = 1
    for length in shape:
        elements *= length
    if kind.bytes is None:
        found, expected = len(data) if type(data) is list else -1, elements
    else:
        found, expected = _length(data), elements * kind.bytes
        if kind.bytes == 0 and elements > SMALL:
            raise wrong("at most {} elements without bytes".format(SMALL), shape)
    if found != expected:
        raise wrong("{} bytes or values of an array {}".format(expected, shape), found)
    return found


def _length(data):
    if isinstance(data, Bytes):
        return data.count
    return len(data) if type(data) in (bytes, bytearray) else -1


def wrong(expected, found):
    return pickle.UnpicklingError("expected {}, found {}".format(expected, brief(found)))
