"""One of several processes that share a step: `python -m benchmarks.gpu_check.process cuda|cpu FILE`.

Started with torchrun's environment variables; the first process writes the gradients to FILE.
"""

from __future__ import annotations

import sys

import torch

from benchmarks.gpu_check.arithmetic import examined
from benchmarks.gpu_check.replicas import class_parallel
from encore.training import checkpoint_files
from encore.training.distributed import join_processes


def main(kind, path):
    processes, device = join_processes(kind)
    with examined(device):
        found = class_parallel(device, processes)
    if processes.is_first:
        checkpoint_files.save(path, found.gradients)
    processes.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
