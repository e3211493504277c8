"""Weights by the formula of the published outputs, and the pictures they were made with."""

import zlib

import numpy as np
import torch
from PIL import Image

from encore.systems.drip.clean_view import normalised
from tests.golden_files import golden


def formula_tensor(name, shape, seed=0):
    """The tensor of the published key `name`."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    draws = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
    return torch.from_numpy(np.asarray(_value(name, tuple(shape), draws), dtype=np.float32))


def formula_weights(network):
    """Give every tensor of `network` its formula value; returns the network."""
    state = network.state_dict()
    network.load_state_dict({name: formula_tensor(name, value.shape) for name, value in state.items()})
    return network


def clean_views():
    """float32 (2, 3, 160, 160): the two published clean views, normalised."""
    paths = [golden("drip/ref160_photo%d.png" % number) for number in range(2)]
    return torch.from_numpy(np.stack([normalised(np.asarray(Image.open(str(path)))) for path in paths]))


def _value(name, shape, draws):
    if name.endswith("running_var"):
        return 0.75 + 0.5 * draws.uniform(size=shape)
    normal = draws.standard_normal(shape)
    if name.endswith("running_mean"):
        return 0.1 * normal
    if name.endswith("global_pool.p"):
        return 3 + 0.1 * normal
    if name.endswith("gain") or (name.endswith("weight") and len(shape) == 1):
        return 1 + 0.1 * normal
    if len(shape) == 1:
        return 0.05 * normal
    return normal / np.sqrt(shape[0] if name.endswith("kernel") else np.prod(shape[1:]))
