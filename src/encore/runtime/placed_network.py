"""A network on a device, which arrives on another machine on that machine's device."""

from __future__ import annotations

import copy


def default_device():
    """The GPU where there is one, as torch.device."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class PlacedNetwork:
    """`network`, a module, put on `device` (None: the default) with its parameters in the order of
    `memory_format`.

    channels_last: on a CPU, order them so; a CPU computes faster then (results differ by rounding). Pickled,
    it travels by way of the CPU to the default device of where it arrives.
    """

    def __init__(self, network, device=None, channels_last=False):
        import torch

        self.device = default_device() if device is None else torch.device(device)
        self._channels_last = channels_last
        self.network = network.to(self.device, memory_format=self.order)

    @property
    def order(self):
        """The torch.memory_format of parameters and inputs."""
        import torch

        last = self._channels_last and self.device.type == "cpu"
        return torch.channels_last if last else torch.contiguous_format

    def __getstate__(self):
        on_cpu = self.network if self.device.type == "cpu" else copy.deepcopy(self.network).cpu()
        return {"network": on_cpu, "channels_last": self._channels_last}

    def __setstate__(self, state):
        self.__init__(state["network"], None, state["channels_last"])
