"""Images in tar shards with an index of offsets: any tool opens them, and reading image i is one `pread`."""

from __future__ import annotations

import collections
import hashlib
import io
import os
import tarfile

import numpy

from encore.data.images import LARGEST_PICTURE
from encore.data.manifest import Manifest, ShardEntry, read_index, whole_digest
from encore.runtime.atomic import file_digest, replacing
from encore.runtime.bounded_file import file_size
from encore.runtime.outside_fault import OF_FILES
from encore.runtime.refusal import Refusal

MOST_OPEN = 32
"""Shards that a ShardSet keeps open: a data set may have more of them than a process may have files."""


class ShardWriter:
    """Writes one shard; the tar and its index appear only when `close` has synced them.

    The bytes depend on names and contents alone (no dates, no owners), so equal images give equal shards.
    """

    def __init__(self, folder, number):
        self.folder = str(folder)
        self.name = "shard-{:05d}".format(number)
        self.temporary = os.path.join(self.folder, "{}.tar.tmp-{}".format(self.name, os.getpid()))
        self._file = open(self.temporary, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)
        self._rows = []

    def add(self, name, data, label):
        """Append one image file: `name` (at most 100 bytes), `data` (bytes) and its class `label`."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(data), 0o644, 0
        offset = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(member, io.BytesIO(data))
        self._rows.append((name.encode("utf-8"), label, offset, len(data), hashlib.sha256(data).digest()))

    def close(self):
        """Finish the shard and return its ShardEntry."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        tar = os.path.join(self.folder, self.name + ".tar")
        os.replace(self.temporary, tar)
        index_path = os.path.join(self.folder, self.name + ".index.npy")
        with replacing(index_path) as file:
            numpy.save(file, index_array(self._rows), allow_pickle=False)
        return ShardEntry(
            name=self.name,
            count=len(self._rows),
            bytes=os.path.getsize(tar),
            sha256=file_digest(tar),
            index_sha256=file_digest(index_path),
        )

    def discard(self):
        """Drop an unfinished shard."""
        self._file.close()
        os.unlink(self.temporary)


def index_array(rows):
    """The index of a shard as a structured array, from rows (name, label, offset, size, sha256)."""
    width = max([len(row[0]) for row in rows] or [1])
    index = numpy.zeros(
        len(rows),
        dtype=[
            ("name", "S{}".format(width)),
            ("label", "<i4"),
            ("offset", "<i8"),
            ("size", "<i8"),
            ("sha256", "u1", (32,)),
        ],
    )
    for column, field in enumerate(("name", "label", "offset", "size")):
        index[field] = [row[column] for row in rows]
    if rows:
        index["sha256"] = numpy.frombuffer(b"".join(row[4] for row in rows), "u1").reshape(-1, 32)
    return index


def write_manifest(folder, entries, recipe_digest):
    """Write and return the manifest of the finished shards `entries` of `folder`."""
    entries = tuple(entries)
    digest, classes = whole_digest(read_index(os.path.join(str(folder), entry.index)) for entry in entries)
    manifest = Manifest(
        count=sum(entry.count for entry in entries),
        classes=classes,
        bytes=sum(entry.bytes for entry in entries),
        shards=entries,
        digest=digest,
        recipe_digest=recipe_digest,
    )
    manifest.write(folder)
    return manifest


class ShardSet:
    """Random access to a finished data set: `len`, `names`, `labels`, `read(i)`, `find(class, copy)`.

    Images keep the order in which they were written. Files are opened when first read, so an object can be
    handed to worker processes; the MOST_OPEN last read stay open. Threads must not share one.
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.manifest = Manifest.read(folder)
        indexes = [read_index(os.path.join(self.folder, shard.index)) for shard in self.manifest.shards]
        self._starts = numpy.cumsum([0] + [len(index) for index in indexes])
        self._indexes = indexes
        self.labels = (
            numpy.concatenate([index["label"] for index in indexes]) if indexes else numpy.zeros(0, "<i4")
        )
        self._names, self._positions, self._files = None, None, collections.OrderedDict()

    def __len__(self):
        return int(self._starts[-1])

    @property
    def names(self):
        """File names, a list of str in stored order."""
        if self._names is None:
            self._names = [name.decode("utf-8") for index in self._indexes for name in index["name"].tolist()]
        return self._names

    def read(self, i):
        """The bytes of image number `i`."""
        if not 0 <= i < len(self):
            raise IndexError("image {} of {}".format(i, len(self)))
        shard = int(numpy.searchsorted(self._starts, i, side="right")) - 1
        row = self._indexes[shard][i - self._starts[shard]]
        if int(row["size"]) > LARGEST_PICTURE:
            raise Refusal(
                "{}: the picture {} is said to have {} bytes, expected at most {}: make the data set "
                "again".format(self.folder, self.names[i], int(row["size"]), LARGEST_PICTURE)
            )
        data = os.pread(self._descriptor(shard), int(row["size"]), int(row["offset"]))
        if len(data) != int(row["size"]):
            raise Refusal(
                "{}: truncated at image {}: copy the data set again".format(
                    os.path.join(self.folder, self.manifest.shards[shard].tar), self.names[i]
                )
            )
        return data

    def index_of(self, name):
        """The position of the image called `name`; raises KeyError."""
        if self._positions is None:
            self._positions = {name: i for i, name in enumerate(self.names)}
        return self._positions[name]

    def find(self, class_id, copy):
        """The position of `<class_id>_<copy>.jpg`."""
        return self.index_of("{}_{}.jpg".format(class_id, copy))

    def _descriptor(self, shard):
        key = (os.getpid(), shard)
        if key not in self._files:
            self._close_others()
            self._files[key] = self._opened(os.path.join(self.folder, self.manifest.shards[shard].tar))
        self._files.move_to_end(key)
        return self._files[key].fileno()

    def _close_others(self):
        """Close what this process has of the one that it was forked from, and what was not read for longest,
        until there is room for one more."""
        for key in [key for key in self._files if key[0] != os.getpid()]:
            self._files.pop(key).close()
        while len(self._files) >= MOST_OPEN:
            self._files.popitem(last=False)[1].close()

    def _opened(self, path):
        try:
            file_size(path)
            return open(path, "rb")
        except OSError as error:
            why = "cannot be read ({}): copy the data set again".format(error.strerror)
            raise Refusal("{}: {}".format(path, OF_FILES.get(error.errno, why))) from None

    def __getstate__(self):
        state = dict(self.__dict__)
        state["_files"] = collections.OrderedDict()
        return state
