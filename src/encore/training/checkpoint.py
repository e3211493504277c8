"""Checkpoints of the ISC 2021 network in the published layout, with what an exact resume needs beside it."""

from __future__ import annotations

import os
import re

from encore.models.isc_network import CLASSIFIER_KEYS, IscNetwork, IscShape
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import is_state_dict, safe_load, stored_bytes
from encore.training import checkpoint_files
from encore.training.checkpoint_files import WORK_NAME, Position, save, work_path

PUBLISHED_KEYS = ("state_dict", "epoch", "optimizer", "lr_scheduler")
EPOCH_NAME = re.compile(r"checkpoint_(\d+)\.pth\.tar")
STAGES = (4, 5, 7, 9)
"""Places of layer1 to layer4 in the network's `base`."""


def epoch_path(folder, epoch):
    """Published name of the checkpoint written after epoch `epoch`."""
    return os.path.join(folder, "checkpoint_%d.pth.tar" % epoch)


def path_at(folder, position):
    """Path of the checkpoint at `position`: the published name at the end of an epoch, else a work file."""
    return work_path(folder, position) if position.step else epoch_path(folder, position.epoch - 1)


def load(path):
    """Read a checkpoint, ours or a published one; Refusal where it is damaged or lacks one of the four
    entries."""
    return checkpoint_files.load(path, PUBLISHED_KEYS, "training", "checkpoint_<epoch>.pth.tar")


def find_newest(folder):
    """Path of the checkpoint that has come furthest in `folder`, by name, or None where there is none.

    The published --auto_resume fails on an empty folder; here the run then starts afresh.
    """
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        epoch, work = EPOCH_NAME.fullmatch(name), WORK_NAME.fullmatch(name)
        if epoch:
            found.append((Position(int(epoch.group(1)) + 1, 0), name))
        elif work:
            found.append((Position(int(work.group(1)), int(work.group(2))), name))
    return os.path.join(folder, max(found)[1]) if found else None


def drop_epochs(folder, before):
    """Remove the checkpoints after the epochs before `before`."""
    for name in os.listdir(folder):
        epoch = EPOCH_NAME.fullmatch(name)
        if epoch and int(epoch.group(1)) < before:
            os.unlink(os.path.join(folder, name))


def load_exactly(network, state, source):
    """Load `state` into `network`; Refusal naming missing, unknown and misshaped keys. Classifier blocks that
    another process carries are passed over."""
    own = network.state_dict()
    elsewhere = set(CLASSIFIER_KEYS) if network.classes is not None else set()
    missing = sorted(set(own) - set(state))
    unknown = sorted(set(state) - set(own) - elsewhere)
    misshaped = sorted(
        "%s %s instead of %s" % (key, tuple(state[key].shape), tuple(own[key].shape))
        for key in set(own) & set(state)
        if state[key].shape != own[key].shape
    )
    problems = [
        "%s: %s" % (what, _some(keys))
        for what, keys in (("missing", missing), ("unknown", unknown), ("shape", misshaped))
        if keys
    ]
    if problems:
        raise Refusal(
            "%s does not fit the network (%s): give the weights of this network, or its sizes"
            % (source, "; ".join(problems))
        )
    network.load_state_dict({key: state[key] for key in own})


def _some(keys, shown=4):
    return ", ".join(keys[:shown]) + (" and %d more" % (len(keys) - shown) if len(keys) > shown else "")


def strip(state):
    """State dict without any of the eight classifier blocks (345 of 353 keys).

    The published script drops classifier_0..3 and leaves the four of the matrix head, which its own strict
    load then refuses; `load_stripped` takes both.
    """
    return type(state)((key, value) for key, value in state.items() if key not in CLASSIFIER_KEYS)


def strip_file(checkpoint_path, path):
    """Write the stripped bare state dict of a checkpoint to `path`, atomically."""
    save(path, strip(load(checkpoint_path)["state_dict"]))


def shape_of(state, source):
    """IscShape read off a state dict's keys and sizes; Refusal, naming `source`, where those are missing, and
    where a network of that shape has more weights than the state dict has bytes."""
    try:
        layers = tuple(
            1 + max(int(key.split(".")[2]) for key in state if key.startswith("base.%d." % stage))
            for stage in STAGES
        )
        hidden, embedding = (len(state["projector_feat_bn.0.%d.weight" % place]) for place in (0, 3))
        matrix = state.get("matrix_feat_bn.0.2.weight")
        width = len(state["base.0.weight"])
        ibn = any(".bn1.IN." in key for key in state)
        shape = IscShape(layers, width, hidden, embedding, None if matrix is None else len(matrix), ibn)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise Refusal(
            "%s does not hold the network's weights, expected keys such as base.0.weight and "
            "projector_feat_bn.0.0.weight (%s): give a stripped checkpoint" % (source, error)
        ) from error
    held = stored_bytes(state)
    if shape.weights > held or min(*layers, width, hidden, embedding) < 1:
        raise Refusal(
            "%s names a network of %d weights and holds %d bytes of them: copy or download it again"
            % (source, shape.weights, held)
        )
    return shape


def load_stripped(path, shape=None):
    """Read a stripped state dict (ours or published) -> IscNetwork without classifiers, in evaluation mode.

    shape: the IscShape expected; None: read off the weights. Strict: Refusal naming missing, unknown and
    misshaped keys.
    """
    state = safe_load(path)
    if not is_state_dict(state):
        raise Refusal(
            "%s is no stripped state dict, expected names and tensors only: strip the checkpoint first" % path
        )
    network = IscNetwork(shape if shape is not None else shape_of(state, path))
    load_exactly(network, strip(state), path)
    return network.eval()
