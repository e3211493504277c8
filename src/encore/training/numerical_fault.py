"""A step whose numbers have left what can be computed: found before its update, on every process alike."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import torch

from encore.runtime.refusal import Refusal
from encore.training.distributed import ALONE

EXPLODED = 1e6
"""A gradient has exploded where its norm exceeds this many times one plus that of the weights."""
SHOWN = 6
"""Pictures and parameters that a message names."""

_watcher = None


class _Numbers(NamedTuple):
    """What each process tells the others of a step."""

    loss: float
    gradients: float
    """The norm of all of them, as of the weights."""
    weights: float
    pictures: int
    equal: float
    """Whether all its pictures are the same; then the sum of one of them."""
    total: float


class NumericalFault(Refusal):
    """A step that must not be made; the loop adds which one it is, and of which pictures."""


class StepSeen(Exception):
    """Raised instead of an update while a step is watched."""


def check_step(loss, terms, parameters=(), pictures=None, processes=ALONE, device=None):
    """Call after the backward pass and before the update: raises NumericalFault, on every process the same.

    loss: number; terms: name -> number, for the message. parameters: (name, parameter) with unscaled
    gradients, checked for values that are not finite and for an explosion; parameters without one are passed
    over. pictures: float (b, ...) as the network is shown them, of this process; a batch of several pictures
    that are all the same is a fault, since BatchNorm and mining learn nothing from it. device: one that the
    processes exchange tensors on; None: that of the parameters, of which there must be one then.
    """
    named = [(name, parameter) for name, parameter in parameters if parameter.grad is not None]
    gradients = _norm([parameter.grad for _, parameter in named])
    weights = _norm([parameter for _, parameter in named])
    own = _Numbers(loss, gradients, weights, *_shown(pictures))
    if device is None and named:
        device = named[0][1].device
    rows = processes.gather(torch.tensor([own], dtype=torch.float64, device=device)).tolist()
    _refuse([_Numbers(*row) for row in rows], terms, named)
    if _watcher is not None:
        _watcher.take(loss, terms, named)
        raise StepSeen


def check_scale(scale):
    """Raises NumericalFault where the scale of losses in half precision has fallen below 1: the gradients
    overflow at every scale."""
    if scale < 1:
        raise NumericalFault(
            "gradients overflow in half precision at every scale of the loss, down to %g" % (2 * scale)
        )


@contextlib.contextmanager
def watched_by(watcher):
    """Within it `check_step` hands its step to watcher.take(loss, terms, parameters) and ends it before the
    update."""
    global _watcher
    _watcher = watcher
    try:
        yield
    finally:
        _watcher = None


def largest(named, count=SHOWN):
    """The (name, norm of its gradient) of the `count` largest; what is not finite comes first."""
    norms = [(name, _norm([parameter.grad])) for name, parameter in named]
    return sorted(norms, key=lambda row: (math.isfinite(row[1]), -row[1] if math.isfinite(row[1]) else 0))[
        :count
    ]


def _refuse(found, terms, named):
    """Raise what speaks against the step by the _Numbers of all processes."""
    broken = [numbers.loss for numbers in found if not math.isfinite(numbers.loss)]
    if broken:
        texts = ", ".join("%s %g" % item for item in sorted(terms.items()))
        raise NumericalFault("the loss is %g, expected a finite number (%s)" % (broken[0], texts))
    having = [numbers for numbers in found if numbers.pictures]
    pictures = sum(numbers.pictures for numbers in having)
    if pictures > 1 and all(numbers.equal and numbers.total == having[0].total for numbers in having):
        raise NumericalFault("all %d pictures of the batch are the same" % pictures)
    for numbers in found:
        if not numbers.gradients <= EXPLODED * (1 + numbers.weights):  # nan too
            worst = ", ".join("%s %g" % row for row in largest(named, 3))
            raise NumericalFault(
                "the gradients have exploded: their norm is %g, that of the weights %g (largest: %s)"
                % (numbers.gradients, numbers.weights, worst)
            )


def _norm(tensors):
    """The norm of all of them together, a number."""
    if not tensors:
        return 0.0
    return torch.stack([tensor.detach().float().norm() for tensor in tensors]).norm().item()


def _shown(pictures):
    """(number of pictures, whether all are the same, the sum of the first); two that differ settle it."""
    if pictures is None or not len(pictures):
        return 0, 0.0, 0.0
    equal = bool((pictures[1:2] == pictures[:1]).all()) and bool((pictures[2:] == pictures[:1]).all())
    return len(pictures), float(equal), pictures[0].double().sum().item() if equal else 0.0
