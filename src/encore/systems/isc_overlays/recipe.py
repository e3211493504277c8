"""The values of the detector's training."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Optional

from encore.detection.retina_net import RetinaNetShape
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything a training run depends on. Frame, batch and epochs are those of the published YOLOv5x
    command; optimizer and rates are ours: AdamW, a rise over the first epochs, then a cosine down to a
    hundredth."""

    shape: RetinaNetShape = field(default_factory=RetinaNetShape)
    start: Optional[str] = limited(None)
    """Bare state dict of the backbone with torchvision's names (published: all of YOLOv5x from COCO);
    null: from the initial weights."""
    seed: int = limited(0, low=0)
    batch: int = limited(16, low=2)
    epochs: int = limited(50, low=1)
    warm_up_epochs: int = limited(3, low=0)
    learning_rate: float = limited(0.0001, low=0)
    weight_decay: float = limited(0.05, low=0)
    zoom: float = limited(0.0, low=0, high=0.9)
    """A picture is shrunk by up to this share in its frame and put anywhere in it."""
    print_every: int = limited(10, low=1)
    workers: int = limited(8, low=0, high=1024)
    keep_bytes: int = limited(0, low=0)
    """Memory per loader process for pictures that were decoded before; changes no number."""

    def __post_init__(self):
        if self.learning_rate <= 0:
            raise Refusal("learning_rate must be above 0, found {:g}".format(self.learning_rate))
        if self.warm_up_epochs >= self.epochs:
            raise Refusal(
                "warm_up_epochs must be below epochs, found {} of {}".format(self.warm_up_epochs, self.epochs)
            )

    def shared_memory(self):
        """Bytes of shared memory that the loader's uint8 batches need."""
        return loader_bytes(self.workers, self.batch * 3 * self.shape.size**2)

    def digest(self):
        """What a resumed run must share with the one that wrote the checkpoint, as name -> text."""
        values = dataclasses.asdict(self)
        for free in ("print_every", "workers", "keep_bytes"):
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}
