"""The values of a Momentum²-Teacher run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from encore.models.isc_network import IscShape
from encore.models.resnet import RESNET152_LAYERS
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes
from encore.systems.momentum2_teacher.schedules import FIRST_RATE, rate_after

SYSTEM = "momentum2_teacher"


@dataclass(frozen=True)
class Momentum2Recipe:
    """Everything a run depends on; the defaults are the published values of ResNet-152."""

    seed: int = limited(0, low=0)
    """The published run sets none."""
    shape: IscShape = field(default_factory=lambda: IscShape(RESNET152_LAYERS, matrix=None))
    """Of the backbone only layers, width and ibn are used."""
    size: int = limited(224, low=1)
    batch: int = limited(512, low=2)
    """Published: 512 for ResNet-152, 1024 for ResNet-50-IBN-a."""
    replicas: int = limited(8, low=1)
    """The published number of GPUs; each has BatchNorm statistics of its own."""
    epochs: int = limited(300, low=1)
    warm_up_epochs: int = limited(10, low=1)
    learning_rate: float = limited(0.05, low=0)
    """For 256 images; the highest rate of the run is this times batch / 256."""
    momentum: float = limited(0.9, low=0, high=1)
    weight_decay: float = limited(1e-4, low=0)
    """Published: on all parameters, those of BatchNorm and the biases too."""
    teacher_momentum: float = limited(0.99, low=0, high=1)
    """Share of its weights that the teacher keeps in the first step."""
    hidden: int = limited(4096, low=1)
    """Width between the two linear layers of projector and predictor."""
    embedding: int = limited(256, low=1)
    """Width of what student and teacher compare."""
    print_every: int = limited(10, low=1)
    save_every: int = limited(0, low=0)
    """Steps between checkpoints within an epoch; 0: only the published one after each epoch."""
    lossy_resume: bool = False
    """Published quirk: a resumed run takes back weights and epoch only; the optimizer's momentum, the
    teacher's schedule and the share of the batch in momentum BatchNorm start again."""
    workers: int = limited(48, low=0, high=1024)
    """Published: 6 a GPU."""

    def __post_init__(self):
        if self.warm_up_epochs >= self.epochs:
            raise Refusal(
                "momentum2_teacher.warm_up_epochs must be below epochs, found %d of %d"
                % (self.warm_up_epochs, self.epochs)
            )
        if self.batch % self.replicas or self.batch // self.replicas < 2:
            raise Refusal(
                "momentum2_teacher.batch (%d) must give each of %d replicas the same number of images, 2 at "
                "least" % (self.batch, self.replicas)
            )
        if not 0 < self.learning_rate < float("inf"):
            raise Refusal(
                "momentum2_teacher.learning_rate must be above 0 and finite, found %g" % self.learning_rate
            )

    def rate(self, step, per_epoch):
        """Learning rate of a step, counted from 0 over the whole run."""
        if step == 0:
            return FIRST_RATE
        base = self.learning_rate * self.batch / 256
        return rate_after(step, base, per_epoch, self.epochs, self.warm_up_epochs)

    def shared_memory(self):
        """Bytes of shared memory that the loader's batches of two uint8 views need."""
        return loader_bytes(self.workers, 2 * self.batch * 3 * self.size**2)

    def digest(self):
        """What a resumed run must share with the one that wrote the checkpoint, as name -> text."""
        values = dataclasses.asdict(self)
        values["shape"] = {name: values["shape"][name] for name in ("layers", "width", "ibn")}
        for free in ("print_every", "save_every", "workers", "lossy_resume"):
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}


PUBLISHED = {"resnet152": Momentum2Recipe(), "resnet_ibn50a": Momentum2Recipe(batch=1024)}
"""The two published runs on ImageNet by the name of their backbone in training; its shape belongs in
isc_track1.networks, and is not in here."""
