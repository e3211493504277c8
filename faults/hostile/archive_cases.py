"""Tars whose members lead out of them, are links, devices or holes, or say that they are huge."""

from __future__ import annotations

import io
import tarfile

from faults.hostile.case import BOMB, GARBLED, LINKS, OUTSIDE, SECRET, Case
from faults.hostile.samples import picture_bytes

TAR = ("tar",)
NOT_COUNTED = "links and devices do not count, the pictures beside them do"


def cases():
    found = [
        _members(OUTSIDE, "a name with ..", "../escaped.jpg"),
        _members(OUTSIDE, "an absolute name", "/tmp/escaped.jpg"),
        _members(OUTSIDE, "a folder with ..", "a/../../escaped/x.jpg"),
        _members(OUTSIDE, ".. in a long name of GNU", "../" * 60 + "x.jpg", tarfile.GNU_FORMAT),
        _members(OUTSIDE, ".. in a name of pax", "../" * 60 + "x.jpg", tarfile.PAX_FORMAT),
    ]
    kinds = {"symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    kinds["named pipe"] = tarfile.FIFOTYPE
    found += [_linked(name, kind) for name, kind in kinds.items()]
    found += [
        Case(BOMB, "a member of 2^60 bytes", _sized(2**60), TAR),
        Case(BOMB, "a member of -1 bytes", _sized(-512), TAR),
        Case(BOMB, "a pax header of 8 GB", _header(b"x", 8 * 10**9), TAR),
        Case(BOMB, "a long name of 8 GB", _header(b"L", 8 * 10**9), TAR),
        Case(BOMB, "3,000 long names in a row", _in_a_row(b"L"), TAR),
        Case(BOMB, "3,000 pax headers in a row", _in_a_row(b"x"), TAR),
        Case(BOMB, "a pax header of 10^6 digits", _further(b"9" * 10**6), TAR),
        Case(BOMB, "pax entries shorter than their keys", _further(b"3 a" * 3 * 10**5 + b"=x\n"), TAR),
        Case(BOMB, "a pax size of 10^30", _pax("size", "1" + "0" * 30), TAR),
        Case(BOMB, "a member with holes of 10 TB", _pax_sparse, TAR),
        Case(GARBLED, "a checksum that is wrong", _checksum, TAR, "a tar without members is an empty one"),
    ]
    return found


def _add(path, member, data=None):
    with tarfile.open(path, "a") as tar:
        tar.addfile(member, None if data is None else io.BytesIO(data))


def _members(family, name, member_name, form=tarfile.GNU_FORMAT):
    def make(sample, _):
        with tarfile.open(sample, "w", format=form) as tar:
            member = tarfile.TarInfo(member_name)
            member.size = len(picture_bytes())
            tar.addfile(member, io.BytesIO(picture_bytes()))

    return Case(family, name, make, TAR)


def _linked(name, kind):
    def make(sample, around):
        (around / SECRET).write_bytes(b"secret")
        member = tarfile.TarInfo("a/link.jpg")
        member.type, member.linkname = kind, str(around / SECRET)
        _add(sample, member)

    return Case(LINKS, f"a {name} as a member", make, TAR, NOT_COUNTED)


def _sized(size):
    def make(sample, _):
        member = tarfile.TarInfo("a/huge.jpg")
        member.size = size
        sample.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    return make


def _header(kind, size):
    def make(sample, _):
        member = tarfile.TarInfo("././@LongLink")
        member.type, member.size = kind, size
        with open(sample, "wb") as file:
            file.write(member.tobuf(tarfile.GNU_FORMAT))
            file.truncate(size + 10240)

    return make


def _further(data):
    def make(sample, _):
        member = tarfile.TarInfo("x")
        member.type, member.size = tarfile.XHDTYPE, len(data)
        parts = member.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % 512)
        sample.write_bytes(b"".join(parts) + tarfile.TarInfo("a/x.jpg").tobuf() + bytes(1024))

    return make


def _in_a_row(kind):
    def make(sample, _):
        member = tarfile.TarInfo("././@LongLink")
        member.type, member.size = kind, 9
        sample.write_bytes((member.tobuf(tarfile.GNU_FORMAT) + b"9 path=a\n".ljust(512, b"\0")) * 3000)

    return make


def _pax(key, value):
    def make(sample, _):
        member = tarfile.TarInfo("a/x.jpg")
        member.pax_headers = {key: value}
        sample.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))

    return make


def _pax_sparse(sample, _):
    member = tarfile.TarInfo("a/x.jpg")
    holes = {"map": "0,1", "size": str(10**13), "name": "a/y.jpg"}
    member.pax_headers = {f"GNU.sparse.{key}": value for key, value in holes.items()}
    sample.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


def _checksum(sample, _):
    data = bytearray(sample.read_bytes())
    data[150] ^= 1
    sample.write_bytes(bytes(data))
