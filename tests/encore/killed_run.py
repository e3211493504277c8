"""Runs in processes of their own, which can kill themselves, and the comparison of what they leave."""

import multiprocessing
import os
import signal

import torch

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "torch._dynamo"])
"""torch takes long to load, and its optimizers load the second one where there is one."""


def start(run, *arguments, **options):
    """Start `run(*arguments, **options)` in a process of its own."""
    process = PROCESSES.Process(target=run, args=arguments, kwargs=options)
    process.start()
    return process


def finish(process):
    """Its exit status, once it has ended; None for one that hangs, which is ended."""
    process.join(timeout=120)
    status = process.exitcode
    if status is None:
        process.kill()
        process.join()
    return status


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_save(number):
    """The `number`-th torch.save of this process writes half of its file, then kills."""
    whole = torch.save
    left = [number]

    def save(content, file):
        left[0] -= 1
        if left[0]:
            return whole(content, file)
        file.write(b"PK\x03\x04 half a checkpoint")
        file.flush()
        die()

    torch.save = save


def assert_same_bits(found, expected):
    """Assert that two contents of checkpoints are the same: keys and their order, types and numbers."""
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same_bits(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_same_bits(one, other)
    else:
        assert found == expected
