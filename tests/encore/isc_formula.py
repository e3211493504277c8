"""Weights and inputs by the formulas under which the ISC 2021 outputs of the published code were made.

stream(name) = RandomState(crc32(name) xor 20210); one fresh stream per tensor, in float64, cast to float32.
"""

import zlib

import numpy as np
import torch

SEED = 20210


def stream(name):
    return np.random.RandomState((zlib.crc32(name.encode()) ^ SEED) & 0xFFFFFFFF)


def weight(name, shape):
    draw = stream(name)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith(".p"):
        return np.full(shape, 3.25, np.float32)
    if name in ("projector_feat_bn.1.bias", "matrix_feat_bn.1.bias"):
        return np.zeros(shape, np.float32)
    if name.endswith("running_mean"):
        values = 0.1 * draw.standard_normal(shape)
    elif name.endswith("running_var"):
        values = 0.6 + draw.random_sample(shape)
    elif name.endswith("bias"):
        values = 0.1 * draw.standard_normal(shape)
    elif len(shape) == 1:
        values = 1 + 0.2 * (draw.random_sample(shape) - 0.5)
        values = values * 0.25 if name.endswith("bn3.weight") else values
    else:
        fan_in = int(np.prod(shape[1:]))
        values = draw.standard_normal(shape) * np.sqrt((2.0 if len(shape) == 4 else 1.0) / fan_in)
    return np.asarray(values, np.float32)


def load_weights(network):
    """Fill a network by the formula and return it."""
    state = {
        name: torch.from_numpy(weight(name, tuple(value.shape)).reshape(tuple(value.shape)))
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network


def noise(tag, shape):
    return torch.from_numpy(stream("input/" + tag).standard_normal(shape).astype(np.float32))


def identities(tag, ids, per_id, size):
    draw = stream("input/" + tag)
    images, labels = [], []
    for identity in range(ids):
        blocks = draw.standard_normal((3, 8, 8)).repeat(size // 8, 1).repeat(size // 8, 2)
        for _ in range(per_id):
            images.append(blocks + 0.5 * draw.standard_normal((3, size, size)))
            labels.append(identity)
    return torch.from_numpy(np.stack(images).astype(np.float32)), torch.tensor(labels)


def checksum(tensor):
    values = tensor.detach().double().flatten()
    return [values.sum().item(), values.abs().sum().item(), values.pow(2).sum().item()] + values[:4].tolist()
