"""Where a text stands in what was written: files, archives in archives, HDF5 data, the layers of an image.

    docker save IMAGE | PLANTED=… python -m checks.planted

prints every place of the text in an image and exits with 1; with 0 where it stands nowhere. The text is
searched for as it is and in base64, in the bytes as they lie and as they are once unpacked. Compression
inside pictures is not undone, nor is encryption.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import io
import lzma
import os
import sys
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from encore.runtime.refusal import Refusal

BLOCK = 2**20
IN_MEMORY = 2**26
SHORTEST = 8
UNPACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
ZIP, HDF5, ZSTANDARD, TAR = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x28\xb5\x2f\xfd", b"ustar"
BROKEN = (OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError)
BROKEN += (zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)


@dataclass
class Search:
    """What one search has seen. text: at least 8 bytes, so that it stands nowhere by chance."""

    text: bytes
    places: list[str] = field(default_factory=list)
    """Where the text stands: a path, and after each `!` the path inside the archive before it."""
    files: int = 0
    archives: int = 0
    unread: list[str] = field(default_factory=list)
    """What looks like an archive and cannot be unpacked: only its bytes as they lie were searched."""

    def __post_init__(self):
        if len(self.text) < SHORTEST:
            raise Refusal(f"a text of {len(self.text)} bytes is found by chance: take {SHORTEST} or more")
        self.forms = (self.text, *_in_base64(self.text))

    def folder(self, folder):
        """Search every file below a folder."""
        for at, _, names in os.walk(folder):
            for name in sorted(names):
                path = Path(at, name)
                self.file(path, path.relative_to(folder).as_posix())
        return self

    def file(self, path, shown):
        """Search a file and its name, as which `shown` counts; of a link the name of its target."""
        self.said(os.fsencode(shown), f"{shown} (its name)")
        if path.is_symlink():
            self.said(os.fsencode(os.readlink(path)), f"{shown} (its target)")
        elif path.is_file():
            with open(path, "rb") as file:
                self.stream(file, shown)
        return self

    def said(self, data, name):
        """Search a text in memory, such as what a command printed."""
        data = data.encode() if isinstance(data, str) else data
        return self.stream(io.BytesIO(data), name)

    def stream(self, file, name):
        """Search a readable binary file to its end, and what is packed in it."""
        self.files += 1
        watched = _Watched(file, self.forms)
        buffered = io.BufferedReader(watched, BLOCK)
        for step in (self._unpack, _read_to_the_end):
            try:
                step(buffered, name)
            except BROKEN:
                self.unread.append(name)
        if watched.found and name not in self.places:
            self.places.append(name)
        return self

    def image(self, file):
        """Search what `docker save` writes: layers, configuration and history. Raises Refusal for a file in
        which no layer can be read."""
        try:
            with tarfile.open(fileobj=file, mode="r|") as image:
                for member in image:
                    if member.isfile():
                        content = image.extractfile(member)
                        self._layer(content, member.name)
                        self.stream(content, member.name)
            _read_to_the_end(file)  # so that who writes is not cut off
        except tarfile.TarError as error:
            raise Refusal(f"this is no image that `docker save` wrote: {error}") from None
        if not self.archives:
            raise Refusal("no layer of the image can be read: it would be a search of nothing")
        return self

    def _layer(self, content, name):
        if content.peek(4)[:4] == ZSTANDARD:
            raise Refusal(f"{name}: a layer packed by Zstandard cannot be read: pack it with gzip")

    def _unpack(self, file, name):
        head = file.peek(512)[:512]
        if head[257:262] == TAR:
            self.archives += 1
            self._tar(file, name)
        elif head.startswith(ZIP):
            self.archives += 1
            self._zip(file, name)
        elif head.startswith(HDF5):
            self._hdf5(file, name)
        else:
            for magic, opened in UNPACKED.items():
                if head.startswith(magic):
                    self.stream(opened(file), f"{name}!")

    def _tar(self, file, name):
        with tarfile.open(fileobj=file, mode="r|", ignore_zeros=False) as archive:
            for member in archive:
                inside = f"{name}!{member.name}"
                listed = f"{member.name}\n{member.linkname}\n{member.pax_headers}"
                if any(form in os.fsencode(listed) for form in self.forms):
                    self.places.append(f"{inside} (its name)")
                if member.isfile():
                    self.stream(archive.extractfile(member), inside)

    def _zip(self, file, name):
        with _seekable(file) as whole, zipfile.ZipFile(whole) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as content:
                        self.stream(content, f"{name}!{member.filename}")

    def _hdf5(self, file, name):
        def search(at, item):
            values = list(item.attrs.items())
            if isinstance(item, h5py.Dataset):
                values.append(("its data", item[()]))
            for key, value in values:
                self.said(_bytes_of(value), f"{name}!{at} ({key})")

        with _seekable(file) as whole, h5py.File(whole, "r") as data:
            search("/", data)
            data.visititems(search)


class _Watched(io.RawIOBase):
    """A file that notes whether one of `forms` passes by while it is read."""

    def __init__(self, file, forms):
        self._file, self._forms = file, forms
        self._kept = max(map(len, forms)) - 1
        self._tail = b""
        self.found = False

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        if not self.found:
            seen = self._tail + data
            self.found = any(form in seen for form in self._forms)
            self._tail = seen[-self._kept :]
        return len(data)


def _read_to_the_end(file, _=None):
    while file.read(BLOCK):
        pass


@contextlib.contextmanager
def _seekable(file):
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as whole:
        for block in iter(lambda: file.read(BLOCK), b""):
            whole.write(block)
        whole.seek(0)
        yield whole


def _bytes_of(value):
    """The bytes of an HDF5 value; texts of any length lie in it as objects."""
    if isinstance(value, (bytes, str)):
        return value
    if getattr(value, "dtype", None) == np.dtype(object):
        return b"\n".join(one if isinstance(one, bytes) else str(one).encode() for one in value.ravel())
    return value.tobytes() if hasattr(value, "tobytes") else repr(value)


def _in_base64(text):
    """The part of a text's base64 that is the same wherever it stands, at each of its three alignments."""
    for before in range(3):
        packed = base64.b64encode(b"\0" * before + text)
        yield packed[(0, 2, 3)[before] : len(packed) - (4 if (before + len(text)) % 3 else 0)]


def main():
    """Search an image on standard input for the text in the variable PLANTED."""
    try:
        found = Search(os.environ.get("PLANTED", "").encode()).image(sys.stdin.buffer)
    except Refusal as refusal:
        print(f"encore: {refusal}", file=sys.stderr)
        return 2
    searched = f"{found.files} files in {found.archives} layers and archives"
    print(f"{searched} searched, {len(found.unread)} of them not unpacked")
    for place in found.places:
        print(f"found in {place}")
    return 1 if found.places else 0


if __name__ == "__main__":
    sys.exit(main())
