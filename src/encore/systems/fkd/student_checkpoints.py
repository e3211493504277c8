"""Checkpoints of students: the published file of each epoch, and one within an epoch."""

from __future__ import annotations

import os

from encore.runtime.refusal import Refusal
from encore.systems.fkd.networks import PREFIX
from encore.training import checkpoint_files

NAME = "checkpoint.pth.tar"
"""Published name; overwritten after each epoch."""
BEST = "model_best.pth.tar"
"""Published name of the copy from the validated epoch with the highest top-1."""
KEYS = ("epoch", "state_dict", "best_acc1", "optimizer", "scheduler")


def load(path):
    """Read a checkpoint, ours or a published one; Refusal where it is damaged or lacks one of the five
    entries."""
    return checkpoint_files.load(path, KEYS, "student's", NAME)


def save(folder, content, position, best=False):
    """Write `content` in `folder`, after an epoch as the published file, within one as a work file -> path.

    best: also as the published file of the best epoch, which is written first, so that a run killed in
    between writes both again.
    """
    path = checkpoint_files.work_path(folder, position) if position.step else os.path.join(folder, NAME)
    if best:
        checkpoint_files.save(os.path.join(folder, BEST), content)
    checkpoint_files.save(path, content)
    checkpoint_files.drop_work(folder, but=path)
    return path


def find_newest(folder):
    """(path, content) of the checkpoint in `folder` that has come furthest, or (None, None)."""
    found = [
        os.path.join(folder, name)
        for name in sorted(os.listdir(folder))
        if name == NAME or checkpoint_files.WORK_NAME.fullmatch(name)
    ]
    loaded = [(path, load(path)) for path in found]
    return max(loaded, key=lambda pair: checkpoint_files.position_of(pair[1]), default=(None, None))


def student_state(student):
    """The student's state dict with the published names."""
    return type(student.state_dict())((PREFIX + key, value) for key, value in student.state_dict().items())


def load_student(student, state, source):
    """Load the published state dict `state` into `student`; Refusal, naming `source` and a key, where keys or
    shapes differ."""
    own = student.state_dict()
    found = {key[len(PREFIX) :] if key.startswith(PREFIX) else key: value for key, value in state.items()}
    differing = sorted(set(own) ^ set(found))
    differing += sorted(key for key in set(own) & set(found) if own[key].shape != found[key].shape)
    if differing:
        raise Refusal(
            "%s does not fit the student (%d tensors are missing, unknown or of another shape, the first is "
            "%s): give the checkpoint of this network" % (source, len(differing), differing[0])
        )
    student.load_state_dict(found)


def load_optimizer(optimizer, state, source):
    """Give `optimizer` the moments of a state dict; its options stay, since versions of torch know different
    ones. Refusal where it is of another network or another optimizer."""
    own = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in state["param_groups"]] != [group["params"] for group in own]:
        raise Refusal("%s: its optimizer is that of another network: remove the file" % source)
    for mark in ("betas", "momentum"):
        if (mark in state["param_groups"][0]) != (mark in own[0]):
            raise Refusal(
                "%s: its optimizer is %s: train with that one, or remove the file"
                % (source, "AdamW" if "betas" in state["param_groups"][0] else "SGD")
            )
    optimizer.load_state_dict({"state": state["state"], "param_groups": own})
