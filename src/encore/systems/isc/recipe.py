"""The values of a training run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Tuple

from encore.models.isc_network import IscShape
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes
from encore.systems.isc.loss import IscLoss
from encore.training.learning_rate import isc_epoch_factor


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything a training run depends on; the defaults are the published values."""

    seed: int = limited(0, low=0)
    """The published run sets none."""
    system: str = "isc_track2"
    """Part of the address of every random draw."""
    shape: IscShape = field(default_factory=IscShape)
    loss: IscLoss = field(default_factory=IscLoss)
    height: int = 256
    width: int = 256
    pad: int = limited(10, low=0)
    """Black border in pixels before the random crop."""
    plain: bool = False
    """Whether pictures are only resized: no flip, pad and crop (the pair models of Track 1)."""
    batch: int = 128
    instances: int = limited(4, low=0)
    """Images per class in a batch."""
    replicas: int = 4
    """The published number of GPUs; how many real ones carry them changes no number."""
    learning_rate: float = 0.00035
    epochs: int = 25
    iterations: int = 8000
    """Steps per epoch."""
    schedule: Tuple[int, int, int] = limited((5, 10, 25), low=0)
    """Epochs at which the warm-up ends, the cosine starts and the cosine ends; fixed in the published
    code."""
    print_every: int = 10
    save_every: int = limited(0, low=0)
    """Steps between checkpoints within an epoch; 0: only the published one after each epoch."""
    processes: int = limited(1, choices=(1, 2, 4))
    """Processes that the stage starts to carry the replicas: 1, 2 or 4, one a GPU. Changes no number."""
    workers: int = limited(8, low=0, high=1024)
    keep_bytes: int = limited(0, low=0)
    """Memory per loader process for images that were decoded before; changes no number."""
    keep_checkpoints: str = limited("all", choices=("all", "last"))
    """Which of the checkpoints after an epoch stay; published: all 25, 265 GB a run. Changes no number."""

    def __post_init__(self):
        for name in ("height", "width", "batch", "replicas", "epochs", "print_every"):
            if getattr(self, name) < 1:
                raise Refusal("training.%s must be at least 1, found %d" % (name, getattr(self, name)))
        if list(self.schedule) != sorted(self.schedule):
            raise Refusal("training.schedule must rise, found %s" % (self.schedule,))
        if self.batch % self.replicas:
            raise Refusal(
                "training.batch (%d) must be a multiple of training.replicas (%d)"
                % (self.batch, self.replicas)
            )
        if self.batch // self.replicas < 2:
            raise Refusal(
                "training.batch (%d) must give each of %d replicas 2 images at least, for BatchNorm"
                % (self.batch, self.replicas)
            )
        if self.learning_rate <= 0:
            raise Refusal("training.learning_rate must be above 0, found %g" % self.learning_rate)

    def rate(self, epoch):
        """Learning rate of an epoch."""
        return self.learning_rate * isc_epoch_factor(epoch, *self.schedule)

    def shared_memory(self):
        """Bytes of shared memory that the loader's float32 batches need."""
        return loader_bytes(self.workers, self.batch * 3 * self.height * self.width * 4)

    def digest(self):
        """What a resumed run must share with the one that wrote the checkpoint, as name -> text."""
        values = dataclasses.asdict(self)
        for free in (
            "epochs",
            "print_every",
            "save_every",
            "processes",
            "workers",
            "keep_bytes",
            "keep_checkpoints",
        ):
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}
