"""The values of the drip training that all its stages share."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

import torch

from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.drip.clean_view import NORMALISATIONS, VIEW_SIZE

PLATEAU, COSINE = "ReduceLROnPlateau", "LinearWarmupCosineAnnealingLR"
FREE = ("workers", "keep_bytes", "save_every", "print_every", "processes", "save_top_k", "max_raised")
"""What a resumed run may change: none of it enters the network."""
WARM_UP_START = 1e-5
"""Rate of the first epoch of the warm-up (published)."""


@dataclass(frozen=True)
class DripRecipe:
    """What the network depends on besides its shape, its pictures and its stage; names and defaults are those
    of the published configuration where it has them."""

    seed: int = limited(0, low=0)
    """Published: drawn, or that of a run within the hour before."""
    size: int = limited(VIEW_SIZE, low=1)
    """Side of the views in pixels."""
    img_norm_type: str = limited("imagenet", choices=NORMALISATIONS)
    init_lr: float = limited(1e-3, low=0)
    """Of Adam, anew at each stage."""
    weight_decay: float = limited(0.0, low=0)
    """Of all but the kernel."""
    arc_weight_decay: float = limited(0.0, low=0)
    """Of the kernel."""
    scheduler_name: str = limited(PLATEAU, choices=(PLATEAU, COSINE))
    sched_factor: float = limited(0.9, low=0, high=1)
    sched_patience: int = limited(2, low=0)
    """Epochs without a lower validation loss that pass before the rate is multiplied by sched_factor."""
    n_warmup_epochs: int = limited(4, low=1)
    """Of the other schedule: linear to init_lr in these epochs, then half a cosine down to
    init_lr * lr_prop."""
    n_decay_epochs: int = limited(100, low=1)
    """Of the cosine; after them the rate rises again, as published."""
    lr_prop: float = limited(1e-3, low=0)
    clip_grad_norm: float = limited(1.0, low=0)
    """Largest norm of all gradients together, the kernel's too."""
    precision: int = limited(16, choices=(16, 32))
    """Bits; 16 needs a GPU."""
    arc_s: float = limited(40.0, low=0)
    arc_m: float = limited(0.4, low=0)
    do_ref_trn: bool = False
    """Whether every `ref_trn_n_epochs`-th epoch trains on the clean views too, half the loss each."""
    ref_trn_n_epochs: int = limited(5, low=1)
    limit_val_batches: float = limited(0.05, low=0, high=1)
    """Share of the batches that each validation takes."""
    w_passes: int = limited(4, low=0)
    """Augmented views of each picture that its centroid has, besides the clean one."""
    w_batch: int = limited(64, low=1)
    w_chunk: int = limited(8192, low=1)
    """Classes whose centroids are made before they are kept, for a run that is killed."""
    text_layout: str = limited("raqm", choices=("raqm", "basic"))
    """How text is laid out before it is drawn on a picture; as Pillow's published wheels do, by raqm."""
    max_raised: float = limited(0.01, low=0, high=1)
    """Share of the views in which an augmentation step may raise, so that the view is drawn again without a
    word (published: any share)."""
    save_top_k: int = limited(3, low=0)
    """Checkpoints of the highest val_acc that are kept besides the last one."""
    save_every: int = limited(0, low=0)
    """Steps between checkpoints within an epoch; 0: none, as published."""
    print_every: int = limited(50, low=1)
    """Steps between two records within an epoch."""
    workers: int = limited(4, low=0, high=1024)
    """Processes that make the views; published: 20."""
    keep_bytes: int = limited(0, low=0)
    """Memory of each of them for decoded pictures."""
    processes: int = limited(1, choices=(1, 2, 4))
    """That share one run, each with a part of the kernel."""

    def __post_init__(self):
        for name in ("init_lr", "arc_s", "clip_grad_norm", "sched_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise Refusal("%s must be above 0 and finite, found %g" % (name, getattr(self, name)))
        if not self.sched_factor < 1:
            raise Refusal("sched_factor must be below 1, found %g" % self.sched_factor)
        if not self.arc_m < math.pi:
            raise Refusal("arc_m is an angle below pi, found %g" % self.arc_m)

    def optimizer(self, network):
        """Adam with the published groups: all of `network.backbone` (with the pooling's exponent and the
        neck), then the kernel."""
        groups = [
            {"params": list(network.backbone.parameters()), "weight_decay": self.weight_decay},
            {"params": list(network.criterion.parameters()), "weight_decay": self.arc_weight_decay},
        ]
        return torch.optim.Adam(groups, lr=self.init_lr)

    def schedule(self, optimizer):
        """What sets the rate: its `step(validation loss)` is called after each epoch."""
        if self.scheduler_name == PLATEAU:
            return Plateau(optimizer, self.sched_factor, self.sched_patience)
        return WarmUpCosine(optimizer, self)

    def cosine_rate(self, epoch):
        """Learning rate of an epoch (from 0) of the alternative schedule."""
        if epoch < self.n_warmup_epochs:
            rise = (self.init_lr - WARM_UP_START) / max(self.n_warmup_epochs - 1, 1)
            return WARM_UP_START + epoch * rise
        final = self.init_lr * self.lr_prop
        passed = (epoch - self.n_warmup_epochs) / self.n_decay_epochs
        return final + 0.5 * (self.init_lr - final) * (1 + math.cos(math.pi * passed))

    def trains_on_clean(self, epoch):
        """Whether the clean views are trained on in this epoch (from 0)."""
        return self.do_ref_trn and epoch % self.ref_trn_n_epochs == 0

    def digest(self):
        """Name -> text of what a resumed run must share."""
        values = dataclasses.asdict(self)
        return {name: json.dumps(values[name]) for name in sorted(values) if name not in FREE}


class Plateau:
    """The published schedule, torch's own ReduceLROnPlateau on the validation loss."""

    def __init__(self, optimizer, factor, patience):
        self._own = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="min", factor=factor, patience=patience
        )

    def step(self, loss):
        self._own.step(loss)

    def state_dict(self):
        return self._own.state_dict()

    def load_state_dict(self, state):
        self._own.load_state_dict(state)


class WarmUpCosine:
    """The other published schedule: a rate by epoch."""

    def __init__(self, optimizer, recipe):
        self._optimizer, self._recipe = optimizer, recipe
        self._epoch = -1
        self.step(None)

    def step(self, _):
        self._epoch += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.cosine_rate(self._epoch)

    def state_dict(self):
        return {"last_epoch": self._epoch}

    def load_state_dict(self, state):
        self._epoch = state["last_epoch"] - 1
        self.step(None)
