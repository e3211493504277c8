"""The published pickle of the teacher's backbone, the start weights of ResNet-152 and ResNet-50-IBN-a."""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
from collections import OrderedDict

import numpy as np
import torch

from encore.models.resnet import ResNet
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal, brief
from encore.runtime.safe_load import safe_load

AUTHOR = "WENHAO"
PROTOCOL = 3
"""Pickle protocol of Python 3.7, which wrote the published files."""
MAGIC = 0x1950A86A20F9469CFC6C
"""Magic number, protocol version and system of a torch file in the form from before torch 1.6."""
VERSION = 1001
SYSTEM_INFO = {
    "protocol_version": VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
STORAGES = {torch.float32: torch.FloatStorage, torch.int64: torch.LongStorage}


def backbone_of_teacher(model):
    """The teacher's backbone from a checkpoint's `model`: published names without prefix, without `fc`.

    The statistics are those of momentum BatchNorm. Published quirk: every key that contains "fc" is left
    out, and a model that was trained without DistributedDataParallel gives nothing; here that is refused.
    """
    prefix = "module.teacher_encoder."
    state = OrderedDict(
        (key[len(prefix) :], value)
        for key, value in model.items()
        if key.startswith(prefix) and "fc" not in key
    )
    if not state:
        raise Refusal("the checkpoint has no key that starts with %s: give one of this method" % prefix)
    return state


def write_backbone(path, state):
    """Write {"model": state, "__author__", "matching_heuristics"} as a plain pickle, atomically.

    `pickle.load` reads it back as tensors, in the published code too. The bytes depend on the values alone:
    torch's own pickling of a tensor names its storage after an address in memory.
    """
    content = {"model": dict(state), "__author__": AUTHOR, "matching_heuristics": True}
    with replacing(path) as file:
        pickler = pickle.Pickler(file, PROTOCOL)
        pickler.dispatch_table = copyreg.dispatch_table.copy()
        pickler.dispatch_table[torch.Tensor] = _reduced_tensor
        pickler.dispatch_table[_Storage] = _reduced_storage
        pickler.dump(content)


def read_backbone(path):
    """Name -> tensor of a file of backbone weights; Refusal, naming the file, for something else.

    Either a bare state dict (resnet50_bar.pth) or one under `model` (the published pickles); arrays are
    taken as tensors.
    """
    content = safe_load(path)
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise Refusal(
            "%s holds no backbone, expected names and tensors, or those under `model`: give the weights of a "
            "backbone" % path
        )
    others = [
        name if type(name) is str else brief(name)
        for name, value in state.items()
        if type(name) is not str or not _is_numbers(value)
    ]
    if others:
        raise Refusal(
            "%s: %s is no tensor, expected names and tensors only: give the weights of a backbone"
            % (path, others[0])
        )
    return {name: torch.as_tensor(value) for name, value in state.items()}


def _is_numbers(value):
    return isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiub")


def check_backbone(path, shape):
    """Refuse a published pickle whose names and sizes are not exactly those of the backbone of `shape`.

    shape: an IscShape, of which layers, width and ibn count (930 tensors for ResNet-152, 344 for
    ResNet-50-IBN-a as published).
    """
    found = read_backbone(path)
    own = ResNet(shape.layers, shape.width, classes=None, ibn=shape.ibn).state_dict()
    missing, unknown = sorted(set(own) - set(found)), sorted(set(found) - set(own))
    misshaped = sorted(key for key in set(own) & set(found) if own[key].shape != found[key].shape)
    for what, keys in (
        ("lacks", missing),
        ("has the unknown", unknown),
        ("has another shape for", misshaped),
    ):
        if keys:
            raise Refusal(
                "%s %s %s (%d such tensors of %d expected): give the file of this backbone"
                % (path, what, keys[0], len(keys), len(own))
            )


class _Storage:
    """The numbers of a tensor, pickled as torch pickles a storage."""

    def __init__(self, tensor):
        self.tensor = tensor


class _StoragePickler(pickle.Pickler):
    def persistent_id(self, value):
        if not isinstance(value, _Storage):
            return None
        tensor = value.tensor
        return ("storage", STORAGES[tensor.dtype], "0", "cpu", tensor.numel(), None)


def _reduced_tensor(tensor):
    tensor = tensor.detach().cpu().contiguous()
    rebuilt = (_Storage(tensor), 0, tuple(tensor.size()), tensor.stride(), False, OrderedDict())
    return torch._utils._rebuild_tensor_v2, rebuilt


def _reduced_storage(storage):
    file = io.BytesIO()
    for part in (MAGIC, VERSION, SYSTEM_INFO):
        pickle.dump(part, file, protocol=2)
    _StoragePickler(file, protocol=2).dump(storage)
    pickle.dump(["0"], file, protocol=2)
    numbers = storage.tensor.numpy()
    file.write(struct.pack("<q", numbers.size))
    file.write(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes())
    return torch.storage._load_from_bytes, (file.getvalue(),)
