"""Functions run on several processes that exchange tensors by gloo, started from a server that has torch."""

import os
import socket

import torch

from tests.encore.killed_run import PROCESSES, finish


def run_on(count, function, *arguments):
    """Run `function(*arguments)` on `count` processes, each with its RANK -> their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        PROCESSES.Process(target=_as_rank, args=(rank, count, port, function) + arguments)
        for rank in range(count)
    ]
    for process in started:
        process.start()
    return [finish(process) for process in started]


def _as_rank(rank, count, port, function, *arguments):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), CUDA_VISIBLE_DEVICES="")
    if count > 1:
        os.environ.update(WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    function(*arguments)
