"""Files that are there whole or not at all, and their digests."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import uuid


def sync_folder(folder):
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(str(folder) or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path, mode="wb"):
    """Open a temporary file beside `path`; when the block ends well it is synced and renamed over `path`.

    On an error the temporary file is removed and `path` keeps what it held; an error of the file system then
    names `path`. What a killed process left of it is written over by the next one that makes `path`.
    """
    path = os.fspath(path)
    # For reading too, so that numpy writes through Python: its own way with a file that is only written
    # says nothing of a disk that is full when the last bytes leave its buffer.
    mode = {"wb": "w+b"}.get(mode, mode)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    temporary, descriptor = _own_temporary(path)
    try:
        with open(descriptor, mode, **text) as file, _removed_on_error(temporary):
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)  # while it is open, and so locked
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = path
        raise
    sync_folder(os.path.dirname(path) or ".")


@contextlib.contextmanager
def _removed_on_error(temporary):
    """Remove `temporary` while it is open, and so locked: later it may be another writer's."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # gone, or on a disk that has become read-only
            os.unlink(temporary)
        raise


def _own_temporary(path):
    """(name, descriptor) of the empty temporary file for `path`, which is this process's alone.

    It has one name, so that what a killed process left is used again; the lock on it ends with its process.
    Where another one holds it, or the file system has no locks, the file gets a name that nobody else has.
    """
    while True:
        name = path + ".tmp-writing"
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):  # no locks here, so that nobody has it
                with contextlib.suppress(FileNotFoundError):  # another writer has done so
                    os.unlink(name)
            return _unique_temporary(path)
        if _is_at(descriptor, name):
            os.ftruncate(descriptor, 0)
            return name, descriptor
        os.close(descriptor)  # the process that had it has renamed it meanwhile


def _unique_temporary(path):
    """The same under a name that nobody else has; locked where there are locks, as a sign that it is used."""
    while True:
        name = "{}.tmp-{}".format(path, uuid.uuid4().hex[:12])
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_at(descriptor, name):
            return name, descriptor
        os.close(descriptor)  # taken for one that was left, before it was locked


def _is_at(descriptor, name):
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))
    except FileNotFoundError:
        return False


def write_json(path, value):
    """Write `value` as JSON (sorted keys, one entry a line); raises ValueError on NaN or infinity."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    folder = os.path.dirname(os.fspath(path))
    if folder:
        os.makedirs(folder, exist_ok=True)
    with replacing(path, "w") as file:
        file.write(text + "\n")


def file_digest(path):
    """SHA-256 of a file, read in pieces of 4 MiB."""
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for piece in iter(lambda: file.read(1 << 22), b""):
            digest.update(piece)
    return digest.hexdigest()
