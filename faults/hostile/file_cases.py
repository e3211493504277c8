"""Things that are no plain file, odd names, holes, and files that were cut or filled with noise."""

from __future__ import annotations

import os
import random
import shutil

from faults.hostile.case import GARBLED, LINKS, NAMES, SECRET, Case
from faults.hostile.samples import picture_bytes

FILES = ()
FOLDER = ("folder",)
FOLLOWED = "links are followed: data sets are put together of them"
PASSED = "what is no file does not count, the pictures beside it do"
ANY_NAME = "any name that the file system takes is a name"
EARLY = "a table, a text or a picture that ends early may still be one"
UNREAD = "what lies behind the end that a tar or an HDF5 file states is not read"
SPARSE = 10**13
ODD_NAMES = {
    "a line break": b"a\nencore: all is well\n.jpg",
    "terminal commands": b"\x1b[2J\x1b]0;x\x07.jpg",
    "bytes that are not UTF-8": b"\xff\xfe\x80.jpg",
    "right to left": "\u202egpj.exe".encode() + b".jpg",
    "255 bytes": b"a" * 251 + b".jpg",
    "a comma and a quote": b'",".jpg',
    "a device of Windows": b"NUL.jpg",
    "a command": b"$(mkdir canary).jpg",
    "an option": b"--help.jpg",
    "a number beyond any": b"9" * 200 + b"_0.jpg",
}


def cases():
    return [*_special(), *_named(), *_garbled(), *_folders()]


def _replaced(make):
    def made(sample, around):
        sample.unlink()
        make(sample, around)

    return made


def _special():
    found = {
        "a named pipe": _replaced(lambda sample, _: os.mkfifo(sample)),
        "a link to a device": _replaced(lambda sample, _: sample.symlink_to("/dev/zero")),
        "a link to itself": _replaced(lambda sample, _: sample.symlink_to(sample.name)),
        "10 TB of holes": _replaced(_sparse),
    }
    cases = [Case(LINKS, name, make, FILES) for name, make in found.items()]
    return [*cases, Case(LINKS, "holes behind a valid file", _stretched, FILES, UNREAD)]


def _stretched(sample, _):
    os.truncate(sample, SPARSE)


def _sparse(sample, _):
    with open(sample, "wb") as file:
        file.truncate(SPARSE)


def _named():
    def renaming(name):
        def make(sample, _):
            target = os.path.join(os.fsencode(sample.parent), name)
            shutil.copy(sample, os.fsdecode(target))
            return type(sample)(os.fsdecode(target))

        return make

    return [Case(NAMES, what, renaming(name), FILES, ANY_NAME) for what, name in ODD_NAMES.items()]


def _garbled():
    def cutting(share):
        return lambda sample, _: os.truncate(sample, int(sample.stat().st_size * share))

    def noise(sample, _):
        sample.write_bytes(random.Random(sample.name).randbytes(5000))

    found = [Case(GARBLED, f"cut to {share:.0%}", cutting(share), FILES, EARLY) for share in (0.1, 0.5, 0.9)]
    found.append(Case(GARBLED, "0 bytes", cutting(0), FILES, EARLY))
    found.append(Case(GARBLED, "noise", noise, FILES, "in a picture's list of names any bytes are names"))
    return found


def _folders():
    def entry(make):
        def made(sample, around):
            place = next((path for path in sorted(sample.iterdir()) if path.is_dir()), sample)
            make(place, around)

        return made

    def writing(name):
        def make(place, _):
            with open(os.path.join(os.fsencode(place), name), "wb") as file:
                file.write(picture_bytes())

        return make

    found = [Case(NAMES, what, entry(writing(name)), FOLDER, ANY_NAME) for what, name in ODD_NAMES.items()]
    special = {
        "a named pipe": (lambda place, _: os.mkfifo(place / "7_7.jpg"), PASSED),
        "a link to a device": (lambda place, _: (place / "7_7.jpg").symlink_to("/dev/zero"), PASSED),
        "a link to itself": (lambda place, _: (place / "7_7.jpg").symlink_to("7_7.jpg"), PASSED),
        "a link out of the folder": (_link_out, FOLLOWED),
        "links to the folder around": (_circles, FOLLOWED),
        "10 TB of holes": (lambda place, _: _sparse(place / "7_7.jpg", None), "a listing reads no file"),
        "a folder named as a picture": (lambda place, _: (place / "7_7.jpg").mkdir(), PASSED),
    }
    return found + [
        Case(LINKS, name, entry(make), FOLDER, harmless) for name, (make, harmless) in special.items()
    ]


def _link_out(place, around):
    (around / SECRET).write_bytes(b"secret")
    (place / "7_7.jpg").symlink_to(around / SECRET)


def _circles(place, _):
    for number in range(4):
        (place / f"again{number}").symlink_to(place)
