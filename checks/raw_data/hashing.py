"""SHA-256 of many files at once: in parallel, with a progress bar, and resumable after a kill.

What is done is appended to a partial file, one synced line a file; a run that is started again goes on from
there. A line counts only while size and time of change of its file are what they were.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from checks.raw_data.digests import escaped, unescaped
from encore.runtime.refusal import Refusal

BATCH_FILES, BATCH_BYTES = 256, 1 << 26
SYNC_SECONDS = 1.0
PIECE = 1 << 20


def default_workers():
    """Threads that keep the cores busy; reading and hashing run outside the interpreter's lock."""
    return min(32, os.cpu_count() or 1)


def hash_files(root, sizes, partial, workers=None, label="hashing"):
    """{name: SHA-256} of the files `sizes` ({name: bytes}) below `root`, the same for any number of workers.

    partial: the file that keeps what is done; the caller removes it (`forget`) once the result is safe.
    Raises Refusal for a file that cannot be read or changes meanwhile, and when another process is at it.
    """
    with _partial_file(partial) as log:
        done = _resumed(log, root, sizes)
        todo = [name for name in sizes if name not in done]
        with _bar(label, sum(sizes.values()), sum(sizes[name] for name in done)) as advance:
            for rows in _in_parallel(root, _batches(todo, sizes), sizes, workers or default_workers()):
                for name, digest, _ in rows:
                    done[name] = digest
                log.append(rows, sizes)
                advance(sum(sizes[name] for name, _, _ in rows))
        log.sync()
    return {name: done[name] for name in sizes}


def forget(partial):
    """Remove a partial file whose result is kept elsewhere now."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)


class _Log:
    """The open partial file."""

    def __init__(self, file):
        self.file, self.synced = file, time.monotonic()

    def lines(self):
        """Its whole lines; a torn last one, which a kill can leave, is cut off."""
        self.file.seek(0)
        text = self.file.read()
        whole = text.rfind(b"\n") + 1
        if whole != len(text):
            self.file.truncate(whole)
        return text[:whole].split(b"\n")[:-1]

    def append(self, rows, sizes):
        for name, digest, changed in rows:
            mark, text = escaped(name)
            self.file.write(b"%s %d %d %s%s\n" % (digest.encode(), sizes[name], changed, mark, text))
        self.file.flush()
        if time.monotonic() - self.synced >= SYNC_SECONDS:
            self.sync()

    def sync(self):
        os.fsync(self.file.fileno())
        self.synced = time.monotonic()


@contextlib.contextmanager
def _partial_file(path):
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        opened = open(path, "a+b")
    except OSError as error:
        raise Refusal(f"{path}: cannot be written ({error.strerror}): the digests are kept there") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refusal(
                f"{path}: another process is hashing this data set: wait for it, or end it"
            ) from None
        yield _Log(file)


def _resumed(log, root, sizes):
    """{name: SHA-256} of the lines that still hold."""
    done = {}
    for line in log.lines():
        digest, _, rest = line.partition(b" ")
        size, _, rest = rest.partition(b" ")
        changed, _, name = rest.partition(b" ")
        # a name that starts with a backslash is always written with the mark, so this is not ambiguous
        name = unescaped(True, name[1:]) if name.startswith(b"\\") else os.fsdecode(name)
        if name in sizes and size == b"%d" % sizes[name] and len(digest) == 64:
            with contextlib.suppress(FileNotFoundError):
                if changed == b"%d" % os.stat(os.path.join(root, name)).st_mtime_ns:
                    done[name] = digest.decode()
    return done


def _batches(names, sizes):
    batch, total = [], 0
    for name in names:
        batch.append(name)
        total += sizes[name]
        if len(batch) >= BATCH_FILES or total >= BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _in_parallel(root, batches, sizes, workers):
    """The rows of the batches as they are done; at most three batches a worker are waiting."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = set()
        try:
            for batch in batches:
                waiting.add(pool.submit(_hash_batch, root, batch, sizes))
                if len(waiting) >= 3 * workers:
                    ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ready)
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ready)
        finally:
            for future in waiting:
                future.cancel()


def _hash_batch(root, names, sizes):
    return [(name, *_hash_file(os.path.join(root, name), sizes[name])) for name in names]


def _hash_file(path, size):
    """(SHA-256, time of change in ns) of a file that has and keeps `size` bytes."""
    digest, count = hashlib.sha256(), 0
    try:
        with open(path, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            for piece in iter(lambda: file.read(PIECE), b""):
                digest.update(piece)
                count += len(piece)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise Refusal(
            f"{path}: cannot be read ({error.strerror}): mend the disk or the rights, run again"
        ) from None
    if count != size or before.st_mtime_ns != after.st_mtime_ns:
        raise Refusal(f"{path}: changed while it was read: run again when nothing writes there")
    return digest.hexdigest(), after.st_mtime_ns


@contextlib.contextmanager
def _bar(label, total, done):
    """A function that moves the progress bar on by so many bytes; a terminal alone shows it."""
    console = Console(stderr=True)
    columns = "{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=total, completed=done)
        yield lambda count: progress.advance(task, count)
