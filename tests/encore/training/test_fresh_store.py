"""Processes, threads here, that meet in a store in which an earlier run has left its words."""

import threading
import time

import pytest
from torch.distributed import HashStore

from encore.training.fresh_store import TOKEN, fresh_store


def meet(store, count, late=None):
    """What each of `count` processes reads under a key that the first one has set; `late` comes last."""
    found = {}

    def work(rank):
        own = fresh_store(store, rank, count, 20)
        if rank == 0:
            own.set("address", "of run %d" % store.add("runs", 1))
        found[rank] = own.get("address").decode()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(count)]
    for rank, thread in enumerate(threads):
        if rank != late:
            thread.start()
    if late is not None:
        time.sleep(0.4)
        threads[late].start()
    for thread in threads:
        thread.join(30)
    return found


@pytest.mark.parametrize("late", [None, 0, 2])
def test_a_run_that_is_started_again_reads_nothing_of_the_one_before(late):
    store = HashStore()
    for run in (1, 2, 3):
        expected = "of run %d" % run
        assert meet(store, 3, late) == {0: expected, 1: expected, 2: expected}


def test_a_token_of_a_run_that_ended_while_it_met_is_passed_over():
    store = HashStore()
    store.set(TOKEN, "old")
    store.set("old/heard/1", "the word of the process that was rank 1 then")
    assert meet(store, 2, late=0) == {0: "of run 1", 1: "of run 1"}


def test_a_process_that_does_not_come_is_given_up():
    store = HashStore()
    with pytest.raises(RuntimeError):
        fresh_store(store, 0, 2, 0.3)
    with pytest.raises(RuntimeError):  # the token is that of the first process, which has given up
        fresh_store(store, 1, 2, 0.5)
