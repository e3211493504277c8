"""A place to meet for the processes of a run that torchrun has started again.

torchrun may give a run that it starts again the store of the run before, in which the addresses of processes
that have ended still stand: who reads one before it is replaced waits for a process that is gone.
"""

from __future__ import annotations

import datetime
import time
import uuid

from torch.distributed import PrefixStore

TOKEN = "encore/token"
POLL = 0.2
"""Seconds between two looks at the token."""


def fresh_store(store, rank, count, seconds):
    """A part of `store` that holds nothing of an earlier run -> PrefixStore, the same on all processes.

    All `count` processes must call. The first one makes up a token; each other one answers under it with a
    word of its own until it hears that word again, which only the first process of its own run can say.
    Raises RuntimeError where one of them has not come after so many seconds.
    """
    own, end = uuid.uuid4().hex, time.monotonic() + seconds
    if rank == 0:
        store.set(TOKEN, own)
        for other in range(1, count):
            word = _waited(store, "%s/says/%d" % (own, other), end - time.monotonic())
            store.set("%s/heard/%d" % (own, other), word)
        return PrefixStore(own, store)
    while time.monotonic() < end:
        token = _waited(store, TOKEN, end - time.monotonic())
        store.set("%s/says/%d" % (token, rank), own)
        try:
            if _waited(store, "%s/heard/%d" % (token, rank), POLL) == own:
                return PrefixStore(token, store)
        except RuntimeError:  # not yet, or the first process is one that has ended
            continue
        time.sleep(POLL)
    raise RuntimeError("the first process has not answered")


def _waited(store, key, seconds):
    """The text under a key, once it is there; RuntimeError where it is not after so many seconds."""
    store.wait([key], datetime.timedelta(seconds=max(seconds, 0.001)))
    return store.get(key).decode("ascii")
