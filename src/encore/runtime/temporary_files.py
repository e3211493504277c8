"""A folder for temporary files of one run, which the next run removes where this one was killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from multiprocessing.util import Finalize

from encore.runtime.shared_memory import remove_segments

AFTER_ALL_ELSE = -200
"""multiprocessing removes its own folder, which is in this one, at priority -100."""


OF_A_RUN = re.compile(r"encore-[0-9a-f]{12}-[^/]*$")
"""Of the path of such a folder."""


def folder_of_run():
    """The folder of `own_temporaries` that this process, of a run or started by one, uses; None without."""
    place = tempfile.gettempdir()
    return place if OF_A_RUN.search(place) else None


@contextlib.contextmanager
def own_temporaries(folder):
    """Let `tempfile`, and programs that are started meanwhile, use a new folder of the run in `folder`, which
    is locked -> its path, which no other run has.

    It is removed at the end, at the latest with this process; those that earlier runs in `folder` left are
    removed first.
    """
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    begin = "encore-{}-".format(hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:12])
    _remove_left(tempfile.gettempdir(), begin)
    place = tempfile.mkdtemp(prefix=begin)
    tempfile.tempdir = os.environ["TMPDIR"] = place
    removal = Finalize(None, _remove, (place,), exitpriority=AFTER_ALL_ELSE)
    try:
        yield place
    finally:
        tempfile.tempdir = before
        os.environ.pop("TMPDIR")
        if variable is not None:
            os.environ["TMPDIR"] = variable
        with contextlib.suppress(OSError):  # multiprocessing may need its part until the process ends
            os.rmdir(place)
            removal.cancel()


def _remove_left(place, begin):
    """Remove the folders of this user in `place` whose names begin so; none where it may not be listed."""
    entries = []
    with contextlib.suppress(PermissionError):
        entries = [name for name in os.listdir(place) if name.startswith(begin)]
    for path in (os.path.join(place, name) for name in entries):
        with contextlib.suppress(FileNotFoundError):  # its process has ended meanwhile
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                _remove(path)


def _remove(place):
    remove_segments(place)
    shutil.rmtree(place, ignore_errors=True)
