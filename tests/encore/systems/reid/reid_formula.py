"""Networks with weights by the formula of the published outputs, their inputs, and how outputs compare."""

import functools
import json
import zlib

import numpy as np
import torch

from encore.systems.reid.network import NetworkShape, ReidNetwork
from tests.golden_files import golden

CLASSES = 16


@functools.lru_cache(maxsize=None)
def read(name):
    """The content of a published .json or .npz file."""
    path = golden("reid/" + name)
    return json.loads(path.read_text()) if name.endswith(".json") else dict(np.load(str(path)))


@functools.lru_cache(maxsize=None)
def formula_tensor(name, shape):
    """The tensor of the published key `name`; shared, not to be changed."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    return torch.from_numpy(np.asarray(_value(name, shape, draws(name)), dtype=np.float32))


def draws(name):
    return np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)


def formula_input(name, *shape):
    """float32 input of the published outputs: "input" or "train_input"."""
    return torch.from_numpy(draws(name).standard_normal(size=shape).astype(np.float32))


def formula_network(state, variant):
    """A published ResNet-50 variant with formula weights."""
    values = read("models_%s.json" % state)[variant]["model_params"]
    with torch.device("meta"):
        network = ReidNetwork(NetworkShape(state=state, **known(values)), CLASSES)
    return with_formula(network.to_empty(device="cpu"))


def known(values):
    """Of published model_params those that make a NetworkShape."""
    return {key: value for key, value in values.items() if key != "random_drop_branchs"}


def with_formula(network):
    state = network.state_dict()
    network.load_state_dict({name: formula_tensor(name, tuple(state[name].shape)) for name in state})
    return network


def off_block(tensor, block, scale=None):
    """How far a tensor is from a published checksum block, in parts of its l2 norm (or of `scale`): the
    larger of the norms' and of the single numbers' difference."""
    flat = tensor.detach().double().flatten().numpy()
    assert list(tensor.shape) == block["shape"]
    scale = scale or max(block["l2"], 1e-30)
    shown = np.concatenate([flat[:16], flat[-4:]]) - np.concatenate([block["first16"], block["last4"]])
    return max(abs(np.linalg.norm(flat) - block["l2"]), np.abs(shown).max()) / scale


def off_largest(tensor, expected):
    """The largest difference in parts of the largest magnitude."""
    expected = np.asarray(expected)
    return np.abs(tensor.detach().numpy() - expected).max() / np.abs(expected).max()


def _value(name, shape, draw):
    if name.endswith("running_var"):
        return 0.75 + 0.5 * draw.uniform(size=shape)
    normal = draw.standard_normal(size=shape)
    if name.endswith("running_mean"):
        return 0.1 * normal
    if len(shape) == 1:
        return 1 + 0.1 * normal if name.endswith("weight") else 0.05 * normal
    return normal / np.sqrt(np.prod(shape[1:]))
