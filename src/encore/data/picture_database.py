"""Labelled pictures in one LMDB file: their bytes as they are, with names and labels."""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import struct
import zlib

import numpy as np

from encore.data.lmdb_pages import HEAD_BYTES, check_pages, is_lmdb, page_bytes, used_bytes
from encore.runtime.atomic import sync_folder
from encore.runtime.bounded_file import file_size
from encore.runtime.json_file import parse_json
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal

FORMAT, VERSION = "encore pictures", 1
META, ROWS = b"meta", b"rows"
"""Keys beside those of the pictures: JSON with names and classes, and int64 (n, 3): label, size, CRC-32."""
FIRST_ROOM = 1 << 26
"""Bytes that the database may have at first; doubled when it is full."""
COMMIT_BYTES = 1 << 24
"""Bytes of pictures written at once."""

_open_files = {}
"""Path -> (which file it was, environment): LMDB opens a file once a process. Forked processes take it over,
which a reader without locks may."""


def picture_digest(names, labels, sizes, classes):
    """SHA-256 over the classes and over name, label and size in bytes of each picture, 64 hex digits."""
    digest = hashlib.sha256(json.dumps(list(classes)).encode("ascii"))
    for name, label, size in zip(names, labels, sizes):
        digest.update(b"%s\0%d\0%d\n" % (os.fsencode(name), label, size))
    return digest.hexdigest()


def write_picture_database(path, pictures, first_room=FIRST_ROOM):
    """Write `pictures` (names, labels, classes, read(i), len) as the LMDB file `path`; return its digest.

    Written beside `path` and renamed when it is whole, so a killed run leaves what was there. Raises Refusal
    for an empty picture, for a second writer at the same time, and when the disk is full.
    """
    import lmdb

    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = path + ".tmp-writing"
    with _alone(temporary) as lock:
        try:
            digest = _written(temporary, pictures, first_room)
            os.fsync(lock.fileno())
            os.replace(temporary, path)
        except lmdb.Error as error:
            os.unlink(temporary)
            raise Refusal(
                "{}: could not be written ({}): make room or choose another place, then run again".format(
                    path, error
                )
            ) from error
        except BaseException:
            os.unlink(temporary)
            raise
    sync_folder(os.path.dirname(path) or ".")
    return digest


def _written(path, pictures, first_room):
    import lmdb

    environment = lmdb.open(path, subdir=False, lock=False, sync=False, map_size=first_room)
    try:
        digest = _fill(environment, pictures)
        environment.sync(True)
    finally:
        environment.close()
    return digest


def _alone(temporary):
    """Open `temporary`, emptied, under a lock that lasts until it is closed; a second writer is refused."""
    file = open(temporary, "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.exists(temporary) and os.path.samestat(os.fstat(file.fileno()), os.stat(temporary))
    except BlockingIOError:
        mine = False
    if not mine:  # locked, or renamed by its writer meanwhile
        file.close()
        raise Refusal("{}: another process is writing it: wait for it or stop it".format(temporary))
    file.truncate(0)
    return file


def _fill(environment, pictures):
    names, sums, sizes, pending, held = list(pictures.names), [], [], [], 0
    for i in progress(range(len(names)), len(names), "pictures"):
        data = pictures.read(i)
        if not data:
            raise Refusal("{}: the picture is empty (0 bytes): put it back or take it out".format(names[i]))
        sizes.append(len(data))
        sums.append(zlib.crc32(data))
        pending.append((_key(i), data))
        held += len(data)
        if held >= COMMIT_BYTES:
            _commit(environment, pending)
            pending, held = [], 0
    digest = picture_digest(names, pictures.labels, sizes, pictures.classes)
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "names": names,
        "classes": list(pictures.classes),
        "digest": digest,
    }
    rows = np.array([pictures.labels, sizes, sums], "<i8").T
    pending.append((META, json.dumps(meta).encode("ascii")))
    pending.append((ROWS, rows.tobytes()))
    _commit(environment, pending)
    return digest


def _key(i):
    return b"%012d" % i


def _commit(environment, entries):
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in entries:
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def _check_rows(rows, classes):
    labels, sizes = rows[:, 0], rows[:, 1]
    bad = np.flatnonzero((labels < 0) | (labels >= classes) | (sizes <= 0))
    if len(bad):
        raise ValueError(
            "picture {} has the label {} of {} classes and {} bytes".format(
                bad[0], labels[bad[0]], classes, sizes[bad[0]]
            )
        )


class PictureDatabase:
    """The pictures of a file that `write_picture_database` made: `len`, `names`, `labels` int64 (n,),
    `classes`, `digest`, `read(i)`, `size(i)`.

    Opened read-only and without locks; can be pickled and used in loader processes, however they start.
    Raises Refusal for a file that is no LMDB, one of another making, and one that is damaged.
    """

    def __init__(self, path):
        self.spec = os.fspath(path)
        self._path, self._environment = os.path.realpath(self.spec), None
        try:
            meta, rows = self._opened()
        except Refusal:
            if self._environment is not None:
                _open_files.pop(self._path)[1].close()
            raise
        self.names, self.classes, self.digest = meta["names"], tuple(meta["classes"]), meta["digest"]
        self.labels = np.ascontiguousarray(rows[:, 0])
        self._sizes, self._sums = rows[:, 1].copy(), rows[:, 2].copy()

    def __len__(self):
        return len(self.names)

    def __getstate__(self):
        return dict(self.__dict__, _environment=None)

    def size(self, i):
        """Bytes of picture number `i`."""
        return int(self._sizes[i])

    def read(self, i):
        """The bytes of picture number `i`; raises Refusal when they are not those that were written."""
        current = _open_files.get(self._path, (None, None))[1]
        if (current is None or current is not self._environment) and self._opened()[0][
            "digest"
        ] != self.digest:
            raise Refusal("{}: was replaced since it was opened: start the run again".format(self.spec))
        data = self._value(_key(range(len(self))[i]))
        if data is None or zlib.crc32(data) != self._sums[i]:
            raise self._damaged("picture {}".format(self.names[i]))
        return data

    def _opened(self):
        """Open the file; its checked (meta, rows)."""
        self._environment = self._shared_environment()
        text = self._value(META)
        if text is None:
            raise Refusal(
                "{}: an LMDB of another making, it has no entry {!r}: make one from folders with python -m "
                "stages.reid.pack".format(self.spec, META.decode("ascii"))
            )
        try:
            meta = parse_json(bytes(text))
            if (meta["format"], meta["version"]) != (FORMAT, VERSION):
                raise ValueError("format {} {}".format(meta["format"], meta["version"]))
            rows = np.frombuffer(self._value(ROWS), "<i8").reshape(len(meta["names"]), 3).astype(np.int64)
            digest = picture_digest(meta["names"], rows[:, 0], rows[:, 1], meta["classes"])
            if digest != meta["digest"]:
                raise ValueError("its digest is another")
            _check_rows(rows, len(meta["classes"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged("its index: {}".format(error)) from error
        return meta, rows

    def _value(self, key):
        import lmdb

        try:
            with self._environment.begin() as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise self._damaged(str(error)) from error

    def _shared_environment(self):
        path = self._path
        try:
            file_size(self.spec)
            found = os.stat(path)
        except OSError as error:
            raise Refusal("{}: no such database of pictures ({})".format(self.spec, error.strerror)) from None
        file = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        known = _open_files.get(path)
        if known is None or known[0] != file:
            if known is not None:
                known[1].close()
            _open_files.pop(path, None)
            _open_files[path] = (file, self._new_environment(path, found.st_size))
        return _open_files[path][1]

    def _new_environment(self, path, size):
        import lmdb

        self._check_pages(path, size)
        try:
            environment = lmdb.open(path, subdir=False, lock=False, readonly=True, readahead=False)
        except (lmdb.Error, UnicodeError) as error:
            raise Refusal(
                "{}: expected a database of pictures, found a file that is no LMDB ({})".format(
                    self.spec, error
                )
            ) from error
        pages = environment.info()["last_pgno"] + 1
        if pages * environment.stat()["psize"] > size:  # reading what is cut off would end the process
            environment.close()
            raise self._damaged("it was cut off, {} bytes are left".format(size))
        return environment

    def _check_pages(self, path, size):
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            if len(head) < HEAD_BYTES or not is_lmdb(head):
                return  # LMDB says so itself
            try:
                width = page_bytes(head)
                file.seek(0)
                used = used_bytes(file.read(2 * width), width)
                data = mmap.mmap(file.fileno(), min(size, used), access=mmap.ACCESS_READ)
                check_pages(data, width)
            except (ValueError, struct.error) as error:
                raise self._damaged(str(error)) from None

    def _damaged(self, what):
        return Refusal("{}: the database is damaged ({}): copy or pack it again".format(self.spec, what))
