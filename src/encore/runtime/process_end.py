"""The end of a process that trains together with others."""

from __future__ import annotations

import atexit
import os
import sys
import threading


def call_and_end(run):
    """Call `run()`; a process that has joined others by gloo ends after it, with the status that Python
    itself would end it with: exit functions run and all output is written, but the interpreter is not taken
    apart.

    The threads of gloo hold the tensors of the last exchange a moment longer than the call that waits for it,
    and need the interpreter to let go of them. Where it is being taken apart meanwhile they abort the process
    (seen with torch 2.13; pytorch/pytorch#190489), so a training that had ended well would count as failed.
    """
    try:
        run()
        status = 0
    except BaseException as error:
        if not _joined_by_gloo():
            raise
        status = _status(error)
    if _joined_by_gloo():
        try:
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _joined_by_gloo():
    distributed = sys.modules.get("torch.distributed")
    return (
        distributed is not None
        and distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_backend() == "gloo"
    )


def _status(error):
    """The exit status of a program that `error` ends, after what Python prints of it."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    sys.stderr.write("{}\n".format(error.code))
    return 1
