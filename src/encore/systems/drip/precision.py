"""Training in half precision with loss scaling, as published, or in float32."""

from __future__ import annotations

import contextlib
import math

import torch

from encore.runtime.refusal import Refusal
from encore.training.numerical_fault import check_scale


def check_precision(bits, kind=None):
    """Refuse 16 without a GPU. kind: "cpu" or "cuda", by default what this machine has."""
    if bits == 16 and (kind or ("cuda" if torch.cuda.is_available() else "cpu")) != "cuda":
        raise Refusal(
            "precision 16 needs a GPU, and none is used here: set precision to 32 (drip.train in the "
            "parameter file, or --precision 32)"
        )


class Precision:
    """bits: 16, autocast to float16 with a GradScaler, on a GPU only, or 32.

    `scaler`: the GradScaler, None for 32.
    """

    def __init__(self, bits, device):
        check_precision(bits, device.type)
        self._device = device
        self.scaler = _grad_scaler() if bits == 16 else None

    def autocast(self):
        """A context for the forward pass."""
        if self.scaler is None:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, dtype=torch.float16)

    def scaled(self, loss):
        """What to call backward on."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimizer, parameters, processes, own):
        """Take the scale out of the gradients -> whether `update` will skip them, since one is not finite; in
        float32 never. For parameters, processes and own see `update`."""
        if self.scaler is None:
            return False
        self._agree(own, processes)
        self.scaler.unscale_(optimizer)
        norms = [torch.linalg.vector_norm(parameter.grad) for parameter in parameters]
        if torch.stack(norms).isfinite().all():
            return False
        return not all(bool(parameter.grad.isfinite().all()) for parameter in parameters)  # a norm overflows

    def refuse_further_skip(self):
        """NumericalFault where one more skipped update would bring the scale below 1."""
        check_scale(self.scaler.get_scale() * self.scaler.get_backoff_factor())

    def update(self, optimizer, parameters, largest_norm, processes, own):
        """Clip the gradients, which `unscale` has seen, and update -> whether the scaler skipped it, since
        one of them was not finite.

        parameters: all of them. largest_norm: of all gradients together. own: the parameters among them of
        which each of `processes` holds a part; of the others all hold the same.
        """
        clip(parameters, largest_norm, processes, own)
        if self.scaler is None:
            optimizer.step()
            return False
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() < before

    def _agree(self, own, processes):
        """Let all processes skip an update that one of them has to."""
        if processes.count == 1:
            return
        finite = torch.stack([parameter.grad.isfinite().all() for parameter in own]).all()
        if not bool(processes.gather(finite.float()[None]).all()):
            own[0].grad.view(-1)[0] = math.inf


def clip(parameters, largest_norm, processes, own):
    """Scale all gradients, in place, so that the norm of them together is at most `largest_norm` -> the norm
    before, a number.

    As torch's clip_grad_norm_, by largest_norm / (norm + 1e-6), also where some are spread over `processes`.
    """
    spread = {id(parameter) for parameter in own}
    same = [parameter.grad for parameter in parameters if id(parameter) not in spread]
    squares = processes.sum(_square([parameter.grad for parameter in own])) + _square(same)
    norm = squares.sqrt()
    factor = (largest_norm / (norm + 1e-6)).clamp(max=1.0)
    for parameter in parameters:
        parameter.grad.mul_(factor)
    return norm.item()


def _square(gradients):
    """The square of the norm of all of them, float32 (1,)."""
    norms = torch.stack([torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients])
    return torch.linalg.vector_norm(norms)[None] ** 2


def _grad_scaler():
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda")
    return torch.cuda.amp.GradScaler()
