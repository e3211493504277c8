"""Features of pictures by a network in evaluation mode: batches decoded in order, one row a picture."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import torch

from encore.data.images import RejectedImage
from encore.data.loader_processes import made_in_order
from encore.runtime.numerics import exact
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_input import evaluation_input


@dataclass(frozen=True)
class Extraction:
    """How features are made."""

    size: tuple
    """(height, width) of the inputs in pixels."""
    batch: int = 64
    device: str = "cpu"
    workers: int = 0
    """Processes that decode pictures; 0: this one."""
    flip: bool = False
    """Add the features of the mirrored picture (ours; the published evaluation shows each picture once)."""


def extract_raw(net, pictures, how: Extraction, what="pictures"):
    """float32 (n, D): what `net` answers for each of `pictures` (names, read(i) -> bytes), un-normalised.

    net: a torch module, which is in evaluation mode meanwhile, or an ONNXPredictor; `what` names the pictures
    in the progress bar. Refusal naming the first picture that cannot be read or whose feature is not finite.
    """
    names = list(pictures.names)
    if not names:
        raise Refusal("{}: expected pictures to describe, found none".format(what))
    rows = np.array_split(np.arange(len(names)), range(how.batch, len(names), how.batch))
    inputs, parts = made_in_order(_Inputs(pictures, names, how.size), rows, how.workers), []
    with exact(), _evaluating(net), torch.no_grad():
        for images in progress(inputs, len(rows), "batches of {}".format(what)):
            parts.append(_answers(net, images, how))
    features = np.concatenate(parts)
    _check_finite(features, names)
    return features


def extract(net, pictures, how: Extraction, what="pictures"):
    """`extract_raw`, each row divided by its length (`l2_normalised`)."""
    return l2_normalised(extract_raw(net, pictures, how, what), pictures.names)


def l2_normalised(features, names=None):
    """float32 (n, D): each whole row divided by its Euclidean length, without an epsilon, as published.

    Refusal, naming the picture, for a row of zeros, which has no direction.
    """
    features = np.asarray(features, dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))[:, None]
    zero = np.flatnonzero(lengths[:, 0] == 0)
    if len(zero):
        first = int(zero[0])
        raise Refusal(
            "{}: its feature is all zeros ({} of {} are), which has no direction: train the network, or "
            "check its weights".format(
                "row %d" % first if names is None else names[first], len(zero), len(lengths)
            )
        )
    return (features / lengths).astype(np.float32)


@contextlib.contextmanager
def _evaluating(net):
    """A module is in evaluation mode inside, and as it was afterwards; anything else is left alone."""
    modules = list(net.modules()) if isinstance(net, torch.nn.Module) else []
    were = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, was in zip(modules, were):
            module.training = was


class _Inputs:
    """Called with rows: their inputs, float32 (b, 3, h, w)."""

    def __init__(self, pictures, names, size):
        self._pictures, self._names, self._size = pictures, names, size

    def __call__(self, rows):
        return torch.from_numpy(np.stack([self._input(int(row)) for row in rows]))

    def _input(self, row):
        try:
            return evaluation_input(self._pictures.read(row), self._size)
        except RejectedImage as rejected:
            raise Refusal(
                "{}: {}: cannot be read ({}): put the picture back or leave it out".format(
                    getattr(self._pictures, "spec", "pictures"), self._names[row], rejected.reason
                )
            ) from rejected


def _answers(net, images, how):
    """float32 (b, D) on the host."""
    images = images.to(how.device)
    answer = net(images)
    if how.flip:
        answer = answer + net(images.flip(3))
    if torch.is_tensor(answer):
        answer = answer.detach().to("cpu", torch.float32).numpy()
    return np.asarray(answer, dtype=np.float32)


def _check_finite(features, names):
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise Refusal(
            "{}: its feature holds NaN or infinity ({} of {} do): training has diverged, or the weights are "
            "damaged".format(names[int(bad[0])], len(bad), len(names))
        )
