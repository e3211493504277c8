"""Checkpoints of Momentum²-Teacher: the published file of each epoch, and one within an epoch."""

from __future__ import annotations

import os

from encore.runtime.refusal import Refusal
from encore.training import checkpoint_files

NAME = "last_epoch_ckpt.pth.tar"
"""Published name; overwritten after each epoch."""
PREFIX = "module."
"""Of the model's keys: DistributedDataParallel adds it."""
KEYS = ("start_epoch", "model", "optimizer")
PUBLISHED_GROUP = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "params")
"""What torch 1.7.1 writes of an SGD parameter group; later versions add options."""


def load(path):
    """Read a checkpoint, ours or a published one; Refusal where it is damaged or lacks one of the three
    entries."""
    return checkpoint_files.load(path, KEYS, "Momentum²-Teacher", NAME)


def position_of(content):
    """Where a loaded checkpoint goes on; a published one at the start of an epoch."""
    return checkpoint_files.position_of(content, "start_epoch")


def path_at(folder, position):
    """Path of the checkpoint at `position`: after an epoch the published file, within one a work file."""
    return checkpoint_files.work_path(folder, position) if position.step else os.path.join(folder, NAME)


def save(folder, content, position):
    """Write `content` in `folder`."""
    path = path_at(folder, position)
    checkpoint_files.save(path, content)
    checkpoint_files.drop_work(folder, but=path)


def find_newest(folder, within_epochs=True):
    """(path, content) of the checkpoint in `folder` that has come furthest, or (None, None).

    within_epochs: whether files from within an epoch count, too.
    """
    found = [
        os.path.join(folder, name)
        for name in os.listdir(folder)
        if name == NAME or (within_epochs and checkpoint_files.WORK_NAME.fullmatch(name))
    ]
    loaded = [(path, load(path)) for path in found]
    return max(loaded, key=lambda pair: position_of(pair[1]), default=(None, None))


def sgd_state(optimizer):
    """The optimizer's state dict as torch 1.7.1 writes it."""
    state = optimizer.state_dict()
    groups = [{key: group[key] for key in PUBLISHED_GROUP} for group in state["param_groups"]]
    return {"state": state["state"], "param_groups": groups}


def load_sgd_state(optimizer, state, source):
    """Give `optimizer` the momentum of a state dict; its options stay. Refusal where it is of another
    network."""
    own = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in state["param_groups"]] != [group["params"] for group in own]:
        raise Refusal("%s: its optimizer is that of another network: remove the file" % source)
    optimizer.load_state_dict({"state": state["state"], "param_groups": own})


def model_state(pair):
    """The pair's state dict with the published names."""
    return type(pair.state_dict())((PREFIX + key, value) for key, value in pair.state_dict().items())


def load_model(pair, state, source):
    """Load the published state dict `state` into `pair`; Refusal, naming `source`, where keys or shapes
    differ."""
    own = pair.state_dict()
    found = {key[len(PREFIX) :]: value for key, value in state.items() if key.startswith(PREFIX)}
    differing = sorted(set(own) ^ set(found)) + sorted(set(state) - {PREFIX + key for key in found})
    differing += sorted(key for key in set(own) & set(found) if own[key].shape != found[key].shape)
    if differing:
        raise Refusal(
            "%s does not fit the networks (%d tensors are missing, unknown or of another shape, the first is "
            "%s): give the checkpoint of this backbone" % (source, len(differing), differing[0])
        )
    pair.load_state_dict(found)
