"""Pickles that run code, take memory or contradict themselves, byte by byte (Python 3.7 reads this file too).

`code_pickles`, `broken_pickles`, `endless_keys`, `repeated_copies` and `broken_types` give {name: bytes};
`in_torch_zip` and `in_torch_legacy` put one where torch keeps its own.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
import zlib

SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
LEGACY_HEAD = [0x1950A86A20F9469CFC6C, 1001, SYSTEM]


def text(value):
    """A str as protocol 2 writes it."""
    data = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(data)) + data


def code_pickles(canary):
    """{name: bytes}: each would make the folder `canary` when it is loaded by pickle.load."""
    name, head = text(canary), b"\x80\x04"
    call = b"cos\nmkdir\n"
    quoted, source = canary.encode("utf-8"), "__import__('os').mkdir(%r)" % canary
    return {
        "REDUCE": head + call + name + b"\x85R.",
        "STACK_GLOBAL": head + text("os") + text("mkdir") + b"\x93" + name + b"\x85R.",
        "STACK_GLOBAL of a dotted name": head
        + text("shutil")
        + text("os.mkdir")
        + b"\x93"
        + name
        + b"\x85R.",
        "INST": b"\x80\x02(" + name + b"ios\nmkdir\n.",
        "OBJ": head + b"(" + call + name + b"o.",
        "NEWOBJ of a class": head + b"csubprocess\nPopen\n]" + b"(" + text("mkdir") + name + b"e\x85\x81.",
        "BUILD of a callback": head
        + b"cfunctools\npartial\n"
        + call
        + b"\x85R("
        + call
        + name
        + b"\x85}Ntb.",
        "eval": head + b"cbuiltins\neval\n" + text(source) + b"\x85R.",
        "old module name": b"\x80\x02c__builtin__\neval\n" + text(source) + b"\x85R.",
        "inside a list": head + b"]" + call + name + b"\x85Ra.",
        "as a key": head + b"}" + call + name + b"\x85RK\x01s.",
        "by torch.load": head + b"ctorch\nload\n" + name + b"\x85R.",
        "by numpy.load": head + b"cnumpy\nload\n" + name + b"\x85R.",
        "by torch.hub": head
        + b"ctorch.hub\nload_state_dict_from_url\n"
        + text("file://" + canary)
        + b"\x85R.",
        "behind an allowed one": head + b"ccollections\nOrderedDict\n)R" + call + name + b"\x85R\x86.",
        "in protocol 0 behind a head": b"\x80\x02cos\nmkdir\n(S'" + quoted + b"'\ntR.",
        "copyreg extension": head + b"\x82\x01" + name + b"\x85R.",
    }


FLOATS = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


NO_TEXTS = b"(K\x03X\x01\x00\x00\x00|NNNK\x00K\x01K\x00tb"
"""The state of the type S0."""


def _array(shape, data, kind=b"X\x02\x00\x00\x00f4", state=FLOATS):
    """A numpy array: `shape` and `data` as opcodes."""
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    dtype = b"cnumpy\ndtype\n" + kind + b"\x89\x88\x87R" + state
    return b"\x80\x04" + empty + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb."


def broken_pickles():
    """{name: bytes}: none can be loaded without harm: memory, time, or numbers that are not there."""
    head = b"\x80\x04"
    huge = b"\x8a\x08" + struct.pack("<q", 2**60)
    object_state = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    fields = b"(K\x03X\x01\x00\x00\x00|N" + text("a") + b"\x85}" + text("a") + b"K\x08Ju\x00\x00\x00\x86stb"
    return {
        "bytes of 2^60": head + b"\x8e" + struct.pack("<Q", 2**60) + b"x.",
        "bytearray of 2^60": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"x.",
        "a frame of 2^60": head + b"\x95" + struct.pack("<Q", 2**60) + b"].",
        "text of 4 GB": head + b"X\xff\xff\xff\xff.",
        "memo place 2^31": head + b"]r\xff\xff\xff\x7f.",
        "memo place by text": b"\x80\x02]p999999999999999\n.",
        "number of 10^6 digits": b"\x80\x02L" + b"9" * 10**6 + b"L\n.",
        "array of 2^60 numbers": _array(huge + b"\x85", b"C\x00"),
        "array of 2^60 empty texts": _array(huge + b"\x85", b"C\x00", text("S0"), NO_TEXTS),
        "array made with a shape": head
        + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + huge
        + b"\x85C\x01b\x87R.",
        "ndarray called": head + b"cnumpy\nndarray\n" + huge + b"\x85\x85R.",
        "storage called": head + b"ctorch\nFloatStorage\n" + huge + b"\x85R.",
        "array shorter than its shape": _array(b"K\x64\x85", b"C\x04abcd"),
        "pointers as bytes": _array(b"K\x01\x85", b"C\x08AAAAAAAA", b"X\x02\x00\x00\x00O8", object_state),
        "type with places outside": _array(b"K\x01\x85", b"C\x08AAAAAAAA", b"X\x02\x00\x00\x00V8", fields),
        "an encoding other than latin1": head
        + b"c_codecs\nencode\n"
        + text("a" * 99)
        + text("idna")
        + b"\x86R.",
        "no end": head + b"]" * 1000,
        "empty stack": head + b"R.",
        "5 million steps": head + b"]" + b"0]" * 2500000 + b".",
    }


def endless_keys():
    """{name: bytes}: the hash of a key walks through tuples in tuples, without end or past the stack."""
    deep, shared = b")" + b"\x85" * 300000, b")" + b"2\x86" * 45
    number = b"\x8b" + struct.pack("<i", 10**5) + b"1" * 10**5
    pairs = b"ccollections\nOrderedDict\n](" + shared + b"N\x86e\x85R"
    return {
        "a key 300,000 deep": b"\x80\x03}" + deep + b"Ns.",
        "a key of 2^45 tuples": b"\x80\x03}" + shared + b"Ns.",
        "keys of 2^45 tuples": b"\x80\x03}(" + shared + b"Nu.",
        "a dict of 2^45 tuples": b"\x80\x03(" + shared + b"Nd.",
        "a set of 2^45 tuples": b"\x80\x04\x8f(" + shared + b"\x90.",
        "a frozen set of 2^45 tuples": b"\x80\x04(" + shared + b"\x91.",
        "pairs of 2^45 tuples": b"\x80\x03" + pairs + b".",
        "a key of 100,000 parts": b"\x80\x03}(" + b"N" * 10**5 + b"tNs.",
        "a key of 100,000 bytes": b"\x80\x03}" + number + b"Ns.",
    }


def repeated_copies(size=1 << 18, times=64):
    """{name: bytes}: `times` calls that each copy the same content of about `size` bytes."""
    a = b"a" * size
    again = b"]" + b"h\x00h\x01\x85Ra" * times + b"."
    pairs = b"".join(b"J" + struct.pack("<i", number) + b"N\x86" for number in range(size // 16))
    counts = b"".join(b"J" + struct.pack("<i", number) + b"K\x01" for number in range(size // 16))
    state = FLOATS.replace(b"<", b">")
    array = b"h\x00h\x02K\x00\x85h\x04\x87R(K\x01J" + struct.pack("<i", size // 4) + b"\x85h\x03\x89h\x01tba"
    parts = b"cnumpy.core.multiarray\n_reconstruct\nq\x00B" + struct.pack("<I", size) + a
    parts += b"q\x01cnumpy\nndarray\nq\x02cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R" + state
    return {
        "one text made into bytes": b"\x80\x03c_codecs\nencode\nq\x00" + text("a" * size) + b"q\x01" + again,
        "one list of pairs": b"\x80\x03ccollections\nOrderedDict\nq\x00](" + pairs + b"eq\x01" + again,
        "one dict of counts": b"\x80\x03ccollections\nCounter\nq\x00}(" + counts + b"uq\x01" + again,
        "one content of arrays": b"\x80\x03" + parts + b"q\x03C\x01bq\x04]" + array * times + b".",
    }


def repeated_storage(times=64):
    """A plain pickle that loads one torch file `times` times."""
    stored = b"\x80\x02(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    inner = in_torch_zip(stored + _long(1 << 16) + b"tQ.", bytes(1 << 18))
    head = b"\x80\x03ctorch.storage\n_load_from_bytes\nq\x00B" + struct.pack("<I", len(inner)) + inner
    return head + b"q\x01]" + b"h\x00h\x01\x85Ra" * times + b"."


def broken_types():
    """{name: bytes}: numpy types whose state takes away their size or their flags."""
    found = {}
    for code, order, data in (("S5", b"|", b"hello"), ("U5", b"<", b"a\0\0\0" * 5)):
        kind = b"cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R" + FLOATS.replace(b"<", order)
        number = b"cnumpy.core.multiarray\nscalar\n" + kind + b"C%c" % len(data) + data + b"\x86R"
        found["%s without a size" % code] = b"\x80\x04" + number + b"."
    state = FLOATS.replace(b"<", b"|")
    found["objects without flags"] = _array(b"K\x01\x85", b"]Na", text("O8"), state)
    return found


def harmless_bombs():
    """{name: bytes}: small when loaded, endless for who walks through it or prints it."""
    shared = b"]\x94" + b"".join(b"]\x94(" + b"h%c" % level * 10 + b"e" for level in range(40))
    return {
        "lists that share their parts": b"\x80\x04" + shared + b".",
        "tuples 100,000 deep": b"\x80\x04)" + b"\x85" * 100000 + b".",
        "a list in itself": b"\x80\x04]\x94h\x00a.",
    }


def tensor(elements=6, numel=None, size=(2, 3), stride=(3, 1), offset=0):
    """The pickle of a state dict of one tensor, whose storage "0" is said to hold `elements`."""
    return b"".join(
        [
            b"\x80\x02}" + text("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n((",
            text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + _long(elements),
            b"tQ" + _long(offset) + _longs(size) + _longs(stride),
            b"\x89ccollections\nOrderedDict\n)RtRs.",
        ]
    )


def broken_tensors():
    """{name: (pickle, bytes of the storage)}; the storage holds six float32 unless it is said."""
    six = bytes(24)
    return {
        "a storage of 2^60": (tensor(2**60, size=(2**60,), stride=(1,)), six),
        "a tensor of 2^60 in six": (tensor(size=(2**60,), stride=(1,)), six),
        "2^60 by a stride of 0": (tensor(size=(2**60,), stride=(0,)), six),
        "a shorter storage": (tensor(), six[:8]),
        "a tensor longer than its storage": (tensor(size=(7,), stride=(1,)), six),
        "a stride that leads out": (tensor(stride=(100, 1)), six),
        "a negative stride": (tensor(stride=(-3, 1)), six),
        "a negative offset": (tensor(offset=-1), six),
        "an offset outside": (tensor(offset=6), six),
        "a storage of two sizes": (tensor(1, size=(1,), stride=(1,))[:-1] + b"0" + tensor()[2:], six),
        "a negative size": (tensor(size=(-2, 3)), six),
    }


def _long(number):
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


def _longs(numbers):
    return b"(" + b"".join(map(_long, numbers)) + b"t"


def in_torch_zip(pickled, storage=b"", names=()):
    """The bytes of a torch file in zip form; names: further entries, (name, bytes)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", storage)
        archive.writestr("archive/version", "3\n")
        for name, data in names:
            archive.writestr(name, data)
    return file.getvalue()


def in_torch_legacy(pickled, storage=None):
    """The bytes of a torch file in the form from before torch 1.6."""
    head = b"".join(pickle.dumps(part, 2) for part in LEGACY_HEAD)
    pickled = pickled.replace(b"tQ", b"NtQ")  # of older versions, a storage may be a part of another
    if storage is None:
        return head + pickled + pickle.dumps([], 2)
    return head + pickled + pickle.dumps(["0"], 2) + struct.pack("<q", len(storage) // 4) + storage


def endless_storage_names():
    """A torch file of the older form whose list of storages holds 2^40 tuples."""
    head = b"".join(pickle.dumps(part, 2) for part in LEGACY_HEAD)
    return head + pickle.dumps({}, 2) + b"\x80\x02])" + b"2\x86" * 40 + b"a."


HIDDEN = pickle.dumps({"hidden": 2}, 2)
"""What a reader finds that was to find pickles.tensor()."""


def in_capitals():
    """A torch file in zip form with HIDDEN in archive/DATA.PKL, before archive/data.pkl."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (("DATA.PKL", HIDDEN), ("data.pkl", pickle.dumps({}, 2)), ("version", b"3\n")):
            archive.writestr("archive/" + name, data)
    return file.getvalue()


def two_directories():
    """A zip file with HIDDEN in the directory that the end record points to, and {} in the one before it."""
    hidden, directory = _zip_parts(HIDDEN + bytes(400), 0)
    shown, _ = _zip_parts(pickle.dumps({}, 2), len(hidden) + len(directory))
    moved = len(shown) + len(directory)  # zipfile adds so much to each place
    _, second = _zip_parts(pickle.dumps({}, 2), len(hidden) + len(directory) - moved)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(directory), len(hidden), 0)
    return hidden + directory + shown + second + end


def _zip_parts(pickled, start):
    """(entries, directory) of a zip file that starts at byte `start` of another."""
    entries, directory = b"", b""
    for name, data in ((b"archive/data.pkl", pickled), (b"archive/version", b"3\n")):
        place = start + len(entries)
        facts = struct.pack("<IIIHH", zlib.crc32(data), len(data), len(data), len(name), 0)
        directory += b"PK\1\2" + struct.pack("<6H", 20, 20, 0, 0, 0, 33) + facts
        directory += struct.pack("<3HII", 0, 0, 0, 0, place) + name
        entries += b"PK\3\4" + struct.pack("<5H", 20, 0, 0, 0, 33) + facts + name + data
    return entries, directory


def tar_and_legacy():
    """A torch file of the older form, of {}, that is one of the oldest form, a tar archive of HIDDEN, too."""
    start = pickle.dumps(LEGACY_HEAD[0], 2)
    first = tarfile.TarInfo((start + b"C\xff").decode("utf-8", "surrogateescape"))
    owner = 265  # where a header has its owner, to which those 255 bytes lead
    first.uname = (b"a" * (len(start) + 257 - owner) + b".C\xff").decode("utf-8", "surrogateescape")
    content = b"a" * (len(start) + 257 + 3 + 255 - tarfile.BLOCKSIZE) + b".}.]."
    nothing = pickle.dumps(0, 2)
    members = [(first, content)]
    members += [(tarfile.TarInfo("storages"), nothing), (tarfile.TarInfo("tensors"), nothing)]
    members.append((tarfile.TarInfo("pickle"), HIDDEN))
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()
