"""Small pictures and a small network for the tests of extraction and matching."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import torch
from PIL import Image

from encore.models.isc_network import IscNetwork, IscShape

SHAPE = IscShape(layers=(1, 1, 1, 1), width=4, hidden=16, embedding=32, matrix=8)


WIDE = dataclasses.replace(SHAPE, matrix=None)
"""Without a matrix head, as in Track 1."""


def small_network(seed=0, shape=SHAPE):
    """An IscNetwork with 8-d descriptors, a trained-looking GeM exponent and running statistics."""
    torch.manual_seed(seed)
    network = IscNetwork(shape)
    with torch.no_grad():
        network.base[10].p.fill_(4.5)
        for module in network.modules():
            if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network


def wide_network(seed=0):
    """The same without matrix head: 32-d embeddings."""
    return small_network(seed, WIDE)


def png(seed, size=(48, 40), mode="RGB"):
    """The bytes of a smooth random picture as PNG."""
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.BICUBIC).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Pictures:
    """Pictures in memory: `names`, `read(i)`, `len()`; counts how often it is read."""

    def __init__(self, files):
        self.names = list(files)
        self.files = list(files.values())
        self.reads = 0

    def __len__(self):
        return len(self.names)

    def read(self, i):
        self.reads += 1
        return self.files[i]
