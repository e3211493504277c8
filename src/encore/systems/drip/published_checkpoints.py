"""Checkpoints in the container that PyTorch Lightning 1.4 wrote for the published models."""

from __future__ import annotations

import glob
import os
import warnings
from collections import OrderedDict
from typing import NamedTuple, Tuple

import torch

from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.training import checkpoint_files

LIGHTNING_VERSION = "1.4.9"
"""Of the era; what published files say themselves is not looked at."""
STATE = "state_dict"
SCALER = "native_amp_scaling_state"
"""There only where a run used half precision."""
KEYS = ("epoch", "global_step", "pytorch-lightning_version", STATE)
"""Of every container, light ones too."""
TRAINING_KEYS = ("callbacks", "optimizer_states", "lr_schedulers")
LIGHT = "_LIGHT"
HEAD = "criterion"
INERT_PACKAGES = ("pytorch_lightning", "modules")
"""Lightning 1.4 names the state of a callback by its class; `modules` holds the published copy of one."""


class Restored(NamedTuple):
    """What `restore` did, as our keys."""

    copied: Tuple[str, ...]
    kept: Tuple[str, ...]
    """Those that the file lacks or has in another shape: they hold what they held before."""


def read_container(path):
    """The content of a `.ckpt`, ours or a published one, light or not -> dict, tensors on the CPU.

    Nothing in the file is run: a class of Lightning, which names a callback's state, becomes an empty class
    of that name. Refusal, naming the file, for a damaged one, one that asks for any other code, and one
    without the keys of such a container.
    """
    content = safe_load(path, inert=INERT_PACKAGES)
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if (
        missing
        or not isinstance(content[STATE], dict)
        or not all(isinstance(key, str) for key in content[STATE])
    ):
        raise Refusal(
            "%s is no Lightning checkpoint: expected the entries %s, missing %s: give a .ckpt of this method"
            % (path, ", ".join(KEYS), ", ".join(missing) or "the weights under " + STATE)
        )
    return content


def restore(network, state, source):
    """Copy into `network`, in place, every tensor of the state dict `state` that it has with equal shape, by
    its published name or an old one (see `current_names`) -> Restored.

    Published quirk: the rest keeps its value, with a warning, so the kernel of another number of classes
    stays as it is; only where nothing at all fits, `source`, the file, is refused. Weights only: optimizer
    and schedule are the caller's.
    """
    found = current_names(state)
    copied, kept = [], []
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key in found and tuple(found[key].shape) == tuple(value.shape):
                value.copy_(found[key])
                copied.append(key)
            else:
                kept.append(key)
    if not copied:
        raise Refusal("%s fits no tensor of this network: give the checkpoint of this backbone" % source)
    if kept:
        warnings.warn(
            "%s: %d of %d tensors keep their value, the first is %s: the file lacks it or has another shape"
            % (source, len(kept), len(kept) + len(copied), kept[0]),
            stacklevel=2,
        )
    return Restored(tuple(copied), tuple(kept))


def current_names(state):
    """The tensors of a published state dict under today's keys; a key that is there itself goes first.

    Older modules had ref_backbone.<timm key> and ref_neck.0.<key>, the first also as
    ref_backbone.module.0.<timm key>; runs on several GPUs have backbone.module.N.<key>.
    """
    renamed = OrderedDict((_current_name(key), value) for key, value in state.items())
    renamed.update(state)
    return OrderedDict((key, value) for key, value in renamed.items() if torch.is_tensor(value))


def write_checkpoint(
    path, network, epoch, global_step, optimizers=(), schedulers=(), scaler=None, callbacks=None, ours=None
):
    """Write `network` in the published container, atomically.

    epoch: of the epoch that was just trained, from 0; Lightning 1.4 writes it one larger. global_step:
    optimizer steps done. optimizers, schedulers: objects with state_dict(), one each as published. scaler:
    the GradScaler, or None without half precision. callbacks: name -> plain values. ours: what the published
    files lack, plain values under the key "encore".
    """
    content = {
        "epoch": epoch + 1,
        "global_step": global_step,
        "pytorch-lightning_version": LIGHTNING_VERSION,
        STATE: OrderedDict((key, value.detach().cpu()) for key, value in network.state_dict().items()),
        "callbacks": dict(callbacks or {}),
        "optimizer_states": [optimizer.state_dict() for optimizer in optimizers],
        "lr_schedulers": [scheduler.state_dict() for scheduler in schedulers],
    }
    if scaler is not None:
        content[SCALER] = scaler.state_dict()
    if ours is not None:
        content[checkpoint_files.OURS] = ours
    checkpoint_files.save(path, content)


def light(content):
    """A container without what only training needs: states of optimizers, schedules, callbacks and scaler,
    and every tensor whose key contains "criterion"; `content` is not changed."""
    dropped = TRAINING_KEYS + (SCALER,)
    kept = {key: value for key, value in content.items() if key not in dropped}
    kept[STATE] = OrderedDict((key, value) for key, value in content[STATE].items() if HEAD not in key)
    return kept


def write_light(*patterns):
    """Write <name>_LIGHT.ckpt beside each `.ckpt` that `patterns` (paths or globs) name, and return their
    paths; files that are light already are left out. Refusal, before any is written, for a pattern without a
    file, and where none is left."""
    paths = []
    for pattern in patterns:
        # A file may have a name with the signs of a glob.
        found = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern))
        if not found:
            raise Refusal("%s names no checkpoint: check the path" % pattern)
        paths += [path for path in found if not path.endswith(LIGHT + ".ckpt") and path not in paths]
    if not paths:
        raise Refusal("%s names no checkpoint that is not light yet: check the path" % " ".join(patterns))
    written = []
    for path in paths:
        stem = path[: -len(".ckpt")] if path.endswith(".ckpt") else path
        checkpoint_files.save(stem + LIGHT + ".ckpt", light(read_container(path)))
        written.append(stem + LIGHT + ".ckpt")
    return written


def _current_name(key):
    if key.startswith("ref_"):
        key = key[len("ref_") :].replace("module.0.", "")
        if key.startswith("neck."):
            key = key[len("neck.") :]
            return "backbone.1." + (key[2:] if key.startswith("0.") else key)
        rest = key[len("backbone.") :] if key.startswith("backbone.") else None
        return key if rest is None or rest.split(".")[0].isdigit() else "backbone.0." + rest
    return key.replace("backbone.module.", "backbone.", 1) if key.startswith("backbone.module.") else key
