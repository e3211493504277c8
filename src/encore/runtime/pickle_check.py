"""What a pickle would make, found out without making it: for files that somebody else wrote.

A pickle is a program for a small machine. Here it runs with stand-ins: no function is called, no class is
made, and no number of an array or a tensor is looked at. It is refused where it asks for anything but
tensors, numbers, texts and plain containers, where the parts of an array or a tensor contradict each
other (more numbers than the file holds, strides that lead out of the storage, a type that is none), or where
it is small and what it makes is not: keys whose hash walks through tuples in tuples, or calls that each copy
the same text. Only then is it loaded.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict

from encore.runtime.pickle_parts import (
    ALLOWED,
    ENTRY_BYTES,
    MAKERS,
    NUMPY_HOMES,
    Array,
    Bytes,
    ForbiddenGlobal,
    Global,
    Inert,
    Namespace,
    Type,
    check_array_state,
    check_type_state,
    checked_key,
    copied_bytes,
    wrong,
)

STORAGE_IN_A_PICKLE = ("torch.storage", "_load_from_bytes")
"""What a plain pickle asks for to read a tensor's numbers, a torch file inside the pickle."""
MOST_OPERATIONS = 4000000
"""Steps of a pickle: the longest published list, 1,431,167 ids, takes 2.9 million."""
LONGEST_NAME = 4096
"""Bytes of a line: the name of a global, or a number as text, of which n digits take n^2 steps."""
LONGEST_NUMBER = 4096
"""Bytes: products of sizes and strides are taken, in n^2 steps."""
COPIES_OF_A_FILE, SMALL_COPIES = 2, 1 << 16
"""Calls may copy so often what is left of the file, and so many bytes: protocol 2 writes bytes as text, which
one call turns into bytes and another puts into an array; tensors that share a storage copy nothing."""
LARGE = 1 << 28
"""Bytes; an array that is larger is passed over."""


class PickleCheck(pickle._Unpickler):
    """Reads one pickle off `file` (BoundedFile) and makes stand-ins; `load` returns the outermost.

    storage: a function of a torch file's persistent id that gives its Storage; None: a pickle without such.
    nested: a function of bytes, the torch file inside a plain pickle, that gives its Storage; None: none is
    allowed. inert: packages whose classes are taken for empty ones. Raises ForbiddenGlobal, and
    pickle.UnpicklingError and what else a damaged pickle gives (any Exception).
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file, storage=None, nested=None, inert=()):
        super().__init__(file)
        self._storage, self._nested, self._inert = storage, nested, inert
        self._copies_left = COPIES_OF_A_FILE * file.left + SMALL_COPIES

    def load(self):
        self._unframer = frames = pickle._Unframer(self._file_read, self._file_readline)
        self.read, self.readline = frames.read, frames.readline
        self.readinto = getattr(frames, "readinto", None)
        self.metastack, self.stack, self.proto = [], [], 0
        self.append = self.stack.append
        read, dispatch = self.read, self.dispatch
        try:
            for _ in range(MOST_OPERATIONS):
                operation = read(1)
                if not operation:
                    raise EOFError("it ends within the pickle")
                dispatch[operation[0]](self)
        except pickle._Stop as stop:
            return stop.value
        raise pickle.UnpicklingError("more than {} steps".format(MOST_OPERATIONS))

    def find_class(self, module, name):
        if module in NUMPY_HOMES:
            module = NUMPY_HOMES[0]
        nested = self._nested is not None and (module, name) == STORAGE_IN_A_PICKLE
        known = name in ALLOWED.get(module, ())
        if not (nested or known or module.split(".")[0] in self._inert):
            raise ForbiddenGlobal("{}.{}".format(module, name))
        return Global(module, name)

    def persistent_load(self, name):
        if self._storage is None:
            raise wrong("no reference to another file", name)
        return self._storage(name)

    def get_extension(self, code):
        raise ForbiddenGlobal("copyreg extension {}".format(code))

    def _count_copies(self, size):
        self._copies_left -= size
        if self._copies_left < 0:
            raise wrong("no calls that copy the same content over and over", size)

    def _instantiate(self, kind, arguments):
        self.append(self._made(kind, tuple(arguments)))

    def _made(self, kind, arguments):
        if not isinstance(kind, Global) or type(arguments) is not tuple:
            raise wrong("a function and its arguments", kind)
        if kind.key[0].split(".")[0] in self._inert:
            return Inert()
        self._count_copies(sum(map(copied_bytes, arguments)))
        if kind.key == STORAGE_IN_A_PICKLE:
            if len(arguments) != 1 or type(arguments[0]) is not bytes:
                raise wrong("the bytes of a torch file", arguments)
            return self._nested(arguments[0])
        if kind.key not in MAKERS:
            raise wrong("no call of {}".format(kind), arguments)
        return MAKERS[kind.key](*arguments)

    def load_reduce(self):
        arguments = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def load_newobj(self):
        arguments = self.stack.pop()
        kind = self.stack.pop()
        if getattr(kind, "key", ("",))[0] in ("numpy", NUMPY_HOMES[0]):
            raise wrong("no empty array", kind)
        self.append(self._made(kind, arguments))

    def load_newobj_ex(self):
        raise wrong("no class with named arguments", self.stack[-3])

    def load_build(self):
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, Inert):
            return
        if isinstance(made, Type):
            check_type_state(made, state)
        elif isinstance(made, Array):
            self._count_copies(check_array_state(state))
        elif type(made) is Namespace:
            if type(state) is not dict or not all(type(name) is str for name in state):
                raise wrong("names and values", state)
            self._count_copies(len(state) * ENTRY_BYTES)
        elif type(made) is not OrderedDict or type(state) is not dict or set(state) - {"_metadata"}:
            raise wrong("nothing that sets the state of {}".format(type(made).__name__), state)

    def _fill(self, made, items):
        if not isinstance(made, (dict, Inert)) or len(items) % 2:
            raise wrong("keys and values of a dict", items)
        kept = {} if isinstance(made, Inert) else made
        for key, value in zip(items[::2], items[1::2]):
            kept[checked_key(key)] = value

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    def load_setitems(self):
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    def load_dict(self):
        made = {}
        self._fill(made, self.pop_mark())
        self.append(made)

    def load_additems(self):
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise wrong("a set", self.stack[-1])
        self.stack[-1].update(map(checked_key, items))

    def load_frozenset(self):
        self.append(frozenset(map(checked_key, self.pop_mark())))

    def load_binbytes8(self):
        count = int.from_bytes(self.read(8), "little")
        if count > LARGE and self._unframer.current_frame is None:
            self._file_read.__self__.skip(count)  # numbers, which are looked at by nobody
            self.append(Bytes(count))
        else:
            self.append(self.read(count))

    def load_long4(self):
        count = int.from_bytes(self.read(4), "little", signed=True)
        if not 0 <= count <= LONGEST_NUMBER:
            raise wrong("a number of at most {} bytes".format(LONGEST_NUMBER), count)
        self.append(pickle.decode_long(self.read(count)))

    def load_bytearray8(self):
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_long_binput(self):
        place = int.from_bytes(self.read(4), "little")
        if place > MOST_OPERATIONS:  # the machine in C keeps room for all places below it
            raise wrong("a place among {}".format(MOST_OPERATIONS), place)
        self.memo[place] = self.stack[-1]

    def load_put(self):
        place = int(self.readline()[:-1])
        if not 0 <= place <= MOST_OPERATIONS:
            raise wrong("a place among {}".format(MOST_OPERATIONS), place)
        self.memo[place] = self.stack[-1]

    for _operation, _function in (
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_newobj),
        (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.DICT, load_dict),
        (pickle.ADDITEMS, load_additems),
        (pickle.FROZENSET, load_frozenset),
        (pickle.BINBYTES8, load_binbytes8),
        (pickle.LONG4, load_long4),
        (b"\x96", load_bytearray8),  # pickle.BYTEARRAY8, from Python 3.8 on
        (pickle.LONG_BINPUT, load_long_binput),
        (pickle.PUT, load_put),
    ):
        dispatch[_operation[0]] = _function
    del _operation, _function


class BoundedFile:
    """What `PickleCheck` reads of an open file of `size` bytes: never more than is left of it."""

    def __init__(self, file, size):
        self._file, self.left = file, size - file.tell()

    def read(self, count):
        if not 0 <= count <= self.left:
            raise EOFError("it asks for {} bytes more, and has {}".format(count, self.left))
        self.left -= count
        return self._file.read(count)

    def readinto(self, buffer):
        data = self.read(len(buffer))
        buffer[:] = data
        return len(data)

    def readline(self):
        line = self._file.readline(LONGEST_NAME)
        if not line.endswith(b"\n"):
            raise EOFError("a line without an end")
        self.left -= len(line)
        return line

    def skip(self, count):
        if not 0 <= count <= self.left:
            raise EOFError("it asks for {} bytes more, and has {}".format(count, self.left))
        self.left -= count
        self._file.seek(count, 1)
