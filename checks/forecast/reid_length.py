"""How long a run of person re-identification is, as `encore.systems.reid.stop_rule` has it."""

from __future__ import annotations

from typing import NamedTuple

SHIPPED = {
    "S": {
        "epochs": 30,
        "warmup_epoch": 0,
        "parallels": 2,
        "last_conv_stride": 2,
        "class_balanced": False,
        "batch_size": 32,
        "P": 32,
        "K": 4,
    },
    "H": {
        "epochs": 4000,
        "warmup_epoch": 20,
        "parallels": 1,
        "last_conv_stride": 1,
        "class_balanced": True,
        "batch_size": 64,
        "P": 4,
        "K": 2,
    },
}
"""What a params.json of each state has where it says nothing."""
CLASS_BALANCED_EPOCHS = 5
"""Epochs of state H that one of the file stands for, with class-balanced batches."""


class Length(NamedTuple):
    """A run: its iterations, and the pictures that they see."""

    iterations: int
    pictures: int


def value(run, name, block):
    """The entry `name` of a block of `run`, or what is shipped."""
    return block.get(name, SHIPPED[run["encore"]["state"]][name])


def parallels(run):
    """GPUs that share a run."""
    return len(run["parallels"]) if "parallels" in run else SHIPPED[run["encore"]["state"]]["parallels"]


def is_balanced(run):
    """Whether a batch is P identities with K pictures each: as asked for, and in S with the triplet loss."""
    margin = run.get("tri_loss_params", {}).get("margin") or 0
    triplet = isinstance(margin, str) or margin > 0
    asked = value(run, "class_balanced", run.get("batch_sampling_params", {}))
    return asked or (run["encore"]["state"] == "S" and triplet)


def batch_of(run):
    """Pictures of a step."""
    sampling = run.get("batch_sampling_params", {})
    if is_balanced(run):
        return value(run, "P", sampling) * value(run, "K", sampling)
    return value(run, "batch_size", sampling) * parallels(run)


def length_of(run, pictures, identities):
    """The Length of a run on so many pictures of so many identities; None where they are needed, and None."""
    batch, most = batch_of(run), run["encore"].get("max_iterations")
    if not is_balanced(run):
        of_epoch = -(-pictures // batch)
        iterations = _at_most(most, _epochs(run) * of_epoch)
        whole, rest = divmod(iterations, of_epoch)  # the last batch of an epoch holds what is left
        return Length(iterations, whole * pictures + rest * batch)
    if run["encore"]["state"] == "S" and most is not None:  # published: endless
        return Length(most, most * batch)
    if identities is None:
        return None
    of_epoch = identities // value(run, "P", run.get("batch_sampling_params", {}))
    iterations = _at_most(most, _epochs(run) * of_epoch)
    return Length(iterations, iterations * batch)


def _epochs(run):
    epochs = value(run, "epochs", run)
    if run["encore"]["state"] == "S":
        return epochs
    factor = CLASS_BALANCED_EPOCHS if is_balanced(run) else 1
    return (epochs + value(run, "warmup_epoch", run.get("lr", {}))) * factor


def _at_most(most, iterations):
    return iterations if most is None else min(most, iterations)
