"""The further processes of a run on one machine, where no launcher such as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

from encore.runtime.shard_map import end_with_parent

REFUSED = 2
"""Exit status of a process that has said why it ends."""
SECONDS_TO_END = 10.0
"""For the first process after another was refused: the reason may be one that all of them share."""


@contextlib.contextmanager
def further_processes(count):
    """Start `count` - 1 copies of this command as ranks 1 to `count` - 1, and make this process rank 0.

    Does nothing for a count of 1, and where WORLD_SIZE says that a launcher has started the processes. The
    copies end with this process; when one of them fails, this process ends too, after its message: where
    that was a Refusal, which all of them may share, it first gets some seconds to end by itself.
    """
    if count == 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, len(os.sched_getaffinity(0)) // count))
    shared = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": threads,
    }
    _use_threads(int(threads))
    copies = [_start(rank, shared) for rank in range(1, count)]
    for copy in copies:
        threading.Thread(target=_end_when_it_fails, args=(copy,), daemon=True).start()
    os.environ.update(shared, RANK="0", LOCAL_RANK="0")
    try:
        yield
    finally:
        for name in (*shared, "RANK", "LOCAL_RANK"):
            os.environ.pop(name, None)
    for copy in copies:
        copy.wait()


def _use_threads(count):
    if "torch" in sys.modules:  # OMP_NUM_THREADS is read when torch is imported
        sys.modules["torch"].set_num_threads(count)


def _start(rank, shared):
    module = sys.modules["__main__"].__spec__.name
    environment = dict(os.environ, RANK=str(rank), LOCAL_RANK=str(rank), **shared)
    parent = os.getpid()
    return subprocess.Popen(
        [sys.executable, "-m", module] + sys.argv[1:],
        env=environment,
        preexec_fn=lambda: end_with_parent(parent),
    )


def _end_when_it_fails(copy):
    status = copy.wait()
    if status == REFUSED:
        time.sleep(SECONDS_TO_END)
    if status:
        print(
            "encore: a process of this run ended with status {}".format(status), file=sys.stderr, flush=True
        )
        os._exit(status if status > 0 else 1)  # the others wait for it in vain


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
