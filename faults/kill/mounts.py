"""Small and read-only file systems that only this process and its runs see (a mount namespace of its own)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

NEW_NAMESPACE, NEW_USER = 0x00020000, 0x10000000
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def enter():
    """Let this process, which must have one thread, have mounts of its own; OSError where the machine
    forbids it.

    A user who may not mount becomes root of a user namespace of its own, which has no rights outside.
    """
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(NEW_NAMESPACE):
        _check(_libc.unshare(NEW_NAMESPACE | NEW_USER), "mount namespace")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _check(_libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None), "/")


def mount_memory(folder, size):
    """Mount an empty file system of `size` bytes in memory over `folder`."""
    options = f"size={size},mode=1777".encode()
    _check(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options), folder)


@contextlib.contextmanager
def read_only(folder):
    """Let `folder` be on a read-only file system meanwhile."""
    path = os.fsencode(folder)
    _check(_libc.mount(path, path, None, BIND, None), folder)
    try:
        _check(_libc.mount(None, path, None, BIND | REMOUNT | READ_ONLY, None), folder)
        yield
    finally:
        _check(_libc.umount2(path, DETACH), folder)


def fill(folder, name="ballast"):
    """Take all that is free on the file system of `folder` with one file -> its path."""
    path = Path(folder, name)
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    if free:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)
    return path


def _check(status, what):
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(what))
