"""The values of a student's training on stored labels."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Optional, Tuple

from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes
from encore.systems.fkd import optimizers
from encore.systems.fkd.accumulation import chunk_size

FREE = (
    "workers",
    "validation_workers",
    "save_every",
    "wandb",
    "wandb_project",
)
"""What a resumed run may change: none of it enters the student."""
HARDWARE = {"24gb": {"workers": 4, "accumulation": 4}, "40gb": {"workers": 8, "accumulation": 1}}
"""Published advice by the memory of the card: one RTX 4090, one A100. Accumulation changes the result
slightly, since BatchNorm sees chunks."""
WANDB_MODES = ("disabled", "offline", "online")
MIXES = ("cutmix", "mixup", "none")


@dataclass(frozen=True)
class AdamWValues:
    learning_rate: float = limited(0.001, low=0)
    weight_decay: float = limited(0.01, low=0)


@dataclass(frozen=True)
class SgdValues:
    learning_rate: float = limited(1.024, low=0)
    momentum: float = limited(0.875, low=0, high=1)
    weight_decay: float = limited(3e-5, low=0)


@dataclass(frozen=True)
class StudentRecipe:
    """Everything that a student depends on, besides its shape, labels and pictures; the defaults are those of
    the published script, which differ from the defaults of its flags (`train_flags`)."""

    seed: int = limited(0, low=0)
    """Of the initial weights and of dropout, where a network has it; the published run sets none."""
    batch: int = limited(1024, low=1)
    """Labels are bound to it."""
    accumulation: int = limited(2, low=1)
    """Chunks of a batch that one update adds up."""
    unbiased: bool = False
    """Whether all pictures of a batch weigh the same; published: each chunk of the last one does."""
    epochs: int = limited(300, low=1)
    start_epoch: int = limited(0, low=0)
    """First epoch, with its labels and learning rate, of a run that finds no checkpoint; above 0 the
    published code fails."""
    schedule: str = limited("cosine", choices=tuple(optimizers.SCHEDULES))
    """Of the learning rate, by epoch."""
    optimizer: str = limited("adamw", choices=("adamw", "sgd"))
    adamw: AdamWValues = field(default_factory=AdamWValues)
    sgd: SgdValues = field(default_factory=SgdValues)
    """Its gradient shrinks with temperature²: at 20, without `squared`, it suits AdamW only."""
    temperature: float = limited(20.0, low=0)
    squared: bool = False
    """Whether the loss is multiplied by temperature² (published: on Tiny-ImageNet)."""
    keep_top_k: Optional[int] = limited(None, low=1)
    """Classes whose probability a label keeps, the rest being spread evenly; None, or the number of classes
    and more: all. The published flag is parsed and never used, so that its 1000 mean all classes, however
    many there are."""
    mix: str = limited("cutmix", choices=MIXES)
    """How the labelled pictures were mixed. With none the published loader fails."""
    order_seed: int = limited(42, low=0)
    """Of the order of the pictures, as at relabelling. Any other than 42 makes the published loader fail."""
    size: int = limited(224, low=1)
    """Side of the crops in pixels."""
    mean: Tuple[float, float, float] = IMAGENET_MEAN
    deviation: Tuple[float, float, float] = IMAGENET_STD
    workers: int = limited(4, low=0, high=1024)
    """Processes that make training batches; default of the published flag: 16."""
    validate_every: int = limited(10, low=1)
    """Epochs between validations; the last epoch is validated too."""
    validation_batch: Optional[int] = limited(None, low=1)
    """None: a quarter of `batch`, as published."""
    validation_workers: Optional[int] = limited(None, low=0, high=1024)
    """None: as many as `workers`, as published."""
    validation_size: Optional[int] = limited(None, low=1)
    """Side of the centre crop; None: `size`."""
    validation_resize: Optional[int] = limited(256, low=1)
    """Shorter side before the centre crop; None: not resized."""
    validation_limit: Optional[int] = limited(None, low=1)
    """At most so many pictures; None: all."""
    save_every: int = limited(0, low=0)
    """Updates between checkpoints within an epoch; 0: one after each epoch only, as published."""
    wandb: str = limited("disabled", choices=WANDB_MODES)
    """disabled: not imported and no login; the published trainer always logs in."""
    wandb_project: str = "Temperature"

    def __post_init__(self):
        chunk_size(self.batch, self.accumulation)
        if self.start_epoch >= self.epochs:
            raise Refusal(
                "start_epoch must be below epochs, found %d of %d" % (self.start_epoch, self.epochs)
            )
        for name, value in (("temperature", self.temperature), ("learning_rate", self.learning_rate)):
            if not 0 < value < float("inf"):
                raise Refusal("%s must be above 0 and finite, found %g" % (name, value))
        if min(self.deviation) <= 0:
            raise Refusal("deviation must be above 0 in each channel, found %s" % (self.deviation,))

    @property
    def learning_rate(self):
        """That of the first epoch."""
        return getattr(self, self.optimizer).learning_rate

    def factor(self, epoch):
        """Factor on the learning rate in an epoch."""
        return optimizers.SCHEDULES[self.schedule](epoch, self.epochs)

    def rate(self, epoch):
        """Learning rate of an epoch."""
        return self.learning_rate * self.factor(epoch)

    def build_optimizer(self, network):
        """The optimizer of `network`, at the learning rate of the first epoch."""
        values = dataclasses.asdict(getattr(self, self.optimizer))
        return getattr(optimizers, self.optimizer)(network, **values)

    def validates(self, epoch):
        """Whether the epoch ends with a validation."""
        return epoch % self.validate_every == 0 or epoch + 1 == self.epochs

    def shared_memory(self):
        """Bytes of shared memory that the loader's uint8 batches need."""
        return loader_bytes(self.workers, self.batch * 3 * self.size**2)

    def digest(self):
        """What a resumed run must share with the one that wrote the checkpoint, as name -> text."""
        values = dataclasses.asdict(self)
        for free in FREE:
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}
