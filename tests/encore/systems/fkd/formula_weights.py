"""Weights by a formula, the same wherever and by whomever they are computed."""

import zlib

import numpy as np
import torch


def _value(name, shape, draws):
    if name.endswith("running_var"):
        return 0.75 + 0.5 * draws.uniform(size=shape)
    if name.endswith(("running_mean", "bias")):
        return 0.1 * draws.standard_normal(shape)
    if len(shape) < 2:
        return 1 + 0.1 * draws.standard_normal(shape)
    return draws.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))


def formula_weights(network, seed):
    """Give `network` (torchvision's names, with or without "module.") the weights that the outputs of the
    published code were made with, by the formula of tests/golden/fkd/README.md; returns the network."""
    state = {}
    for name, tensor in network.state_dict().items():
        plain = name[len("module.") :] if name.startswith("module.") else name
        if plain.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        draws = np.random.RandomState(zlib.crc32(plain.encode()) ^ seed)
        state[name] = torch.from_numpy(_value(plain, tuple(tensor.shape), draws).astype(np.float32))
    network.load_state_dict(state)
    return network
