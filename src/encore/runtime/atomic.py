"""Files that are there whole or not at all, and their digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os


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

    On an error the temporary file is removed and `path` keeps what it held.
    """
    path = os.fspath(path)
    temporary = "{}.tmp-{}".format(path, os.getpid())
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path) or ".")


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
