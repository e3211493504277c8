"""A GPU for tests of what is decided before one is used: torch says that it is there."""

import torch


def pretend(monkeypatch, name, capability, compiled, cuda):
    """Make torch report one GPU, and that it was built for `compiled` with CUDA `cuda`."""
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: compiled)
