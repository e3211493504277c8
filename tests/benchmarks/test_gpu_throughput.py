"""What the throughput of a GPU is measured with, and where it is not."""

import torch

from benchmarks.gpu_check import (
    throughput,
)
from benchmarks.gpu_check.agreement import CPU
from benchmarks.gpu_check.arithmetic import EXACT, MODES, arithmetic, missing_unit

GPU = torch.device("cuda", 0)


def test_too_little_memory_is_not_run(monkeypatch):
    def too_large(size, device):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(throughput, "training_call", too_large)
    found = throughput.measure(CPU, throughput.TINY)
    assert {figure["task"] for figure in found.figures["throughput"]} == {"extraction"}
    assert [tuple(reason) for reason in found.not_run] == [
        ("throughput of training", "the GPU's memory cannot hold a batch of 16")
    ]


def test_short_formats_need_a_unit_for_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert [missing_unit(mode, GPU) for mode in MODES] == [None] + ["needs sm_80, found sm_70"] * 2
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert [missing_unit(mode, GPU) for mode in MODES] == [None] * 3


def test_modes_set_and_give_back_the_flags():
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for mode in MODES:
        with arithmetic(mode, CPU):
            assert [flag.allow_tf32 for flag in flags] == [mode.tf32] * 2
            bf16 = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
            assert bf16 == mode.autocast
        assert [flag.allow_tf32 for flag in flags] == before
    assert [mode.for_claims for mode in MODES] == [mode is EXACT for mode in MODES]
