"""The values of a recovery, and those that were published."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Optional, Tuple

from encore.data.training_transform import (
    CIFAR_MEAN,
    CIFAR_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    TINY_MEAN,
    TINY_STD,
)
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal

CURRICULA = ("step", "linear", "cosine")
FREE = ("print_every", "save_every", "snapshots", "snapshot_classes")
"""Values on which no picture depends."""


@dataclass(frozen=True)
class RecoverRecipe:
    """Everything the pictures depend on; the defaults are the values of the published ImageNet script, which
    differ from the defaults of its flags (`flags`)."""

    seed: int = limited(0, low=0)
    """The published run sets none."""
    classes: int = limited(1000, low=1)
    """Published: fixed in the code."""
    images_per_class: int = limited(50, low=1)
    batch: int = limited(100, low=1)
    """Pictures that are made together: they share crop, flip and roll, and their BatchNorm statistics."""
    batching: str = limited("slot", choices=("slot", "class"))
    """slot: one picture of each of `batch` classes. class: as the published code for several GPUs, all
    pictures of a class follow one another, so that a batch has few classes; other pictures come of it."""
    ranks: int = limited(1, low=1)
    """GPUs among which `class` deals the pictures out, one by one; published log: 4."""
    size: int = limited(224, low=1)
    """Side of the pictures in pixels."""
    iterations: int = limited(4000, low=1)
    learning_rate: float = limited(0.25, low=0)
    """Of Adam in the first iteration; falls with a half cosine."""
    r_bn: float = limited(0.01, low=0)
    """Weight of the BatchNorm term, which grows with the layers: other teachers need other weights."""
    first_bn_multiplier: float = limited(10.0, low=0)
    """Factor on the first layer's share of the BatchNorm term."""
    tv: float = limited(0.0, low=0)
    """Weight of the total variation."""
    l2: float = limited(0.0, low=0)
    """Weight of the mean length of a picture."""
    jitter: int = limited(32, low=0)
    """Largest roll in pixels."""
    symmetric_roll: bool = False
    """Whether a roll goes both ways (published: Tiny-ImageNet) or only down and to the right."""
    crop: bool = True
    """Whether the teacher sees random crops, by chance flipped (published: not for CIFAR-100)."""
    flip: float = limited(0.5, low=0, high=1)
    """Chance of mirroring a crop; 0 for what has a direction, such as digits. Without crops nothing is
    flipped, as published."""
    min_scale: float = limited(0.08, low=0, high=1)
    """Smallest share of a picture that a crop takes."""
    curriculum: Optional[str] = limited(None, choices=CURRICULA)
    """How the smallest crop shrinks from the whole picture to min_scale (CDA); None: it is min_scale."""
    milestone: float = limited(1.0, low=0, high=1)
    """Share of the iterations after which it has shrunk; default of the published flag: 0, at once."""
    mean: Tuple[float, float, float] = IMAGENET_MEAN
    deviation: Tuple[float, float, float] = IMAGENET_STD
    class_digits: int = limited(3, low=1)
    """Digits of a class in file names; published: 5 for ImageNet-21K."""
    print_every: int = limited(100, low=1)
    """Iterations between two entries of the record, and between two answers of the verifier."""
    save_every: int = limited(0, low=0)
    """Iterations between two saved states; 0: none, and a killed batch starts again."""
    snapshots: Tuple[int, ...] = limited((), low=0)
    """Iterations after which the pictures of slot 0 are kept; 0: the noise."""
    snapshot_classes: int = limited(10, low=1)
    """Of how many classes."""

    def __post_init__(self):
        if not 0 < self.learning_rate < float("inf"):
            raise Refusal("learning_rate must be above 0 and finite, found %g" % self.learning_rate)
        if self.classes > 10**self.class_digits:
            raise Refusal(
                "class_digits: %d digits name %d classes, found %d: give more, so that folders sort by class"
                % (self.class_digits, 10**self.class_digits, self.classes)
            )
        if min(self.deviation) <= 0:
            raise Refusal("deviation must be above 0 in each channel, found %s" % (self.deviation,))
        if self.min_scale == 0 and self.crop:
            raise Refusal("min_scale must be above 0 where pictures are cropped")
        if self.jitter > self.size:
            raise Refusal("jitter must not exceed size, found %d of %d" % (self.jitter, self.size))
        if self.ranks > 1 and self.batching == "slot":
            raise Refusal("ranks: %d: only the batching by class is dealt out" % self.ranks)

    def digest(self):
        """What two machines, and a resumed run, must share for the same pictures, as name -> text."""
        values = dataclasses.asdict(self)
        # By slot a picture does not depend on how many there are; by class it does.
        for free in FREE + (("images_per_class",) if self.batching == "slot" else ()):
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}

    def experiment_name(self, teacher):
        """Name of the folder as the published ones are built: rn18_bn0.01_[4K]_x_l2_x_tv.crop.

        teacher: name of its network. An x stands for a term that is left out.
        """
        thousands, rest = divmod(self.iterations, 1000)
        length = "%d" % self.iterations if rest else "%dK" % thousands
        l2, tv = ("%g" % weight if weight else "x" for weight in (self.l2, self.tv))
        network = teacher.replace("resnet", "rn")
        crop = ".crop" if self.crop else ""
        return "%s_bn%g_[%s]_%s_l2_%s_tv%s" % (network, self.r_bn, length, l2, tv, crop)


_TINY = {"classes": 200, "size": 64, "jitter": 4, "mean": TINY_MEAN, "deviation": TINY_STD}

PRESETS = {
    "imagenet": RecoverRecipe(),
    "tiny": RecoverRecipe(learning_rate=0.1, r_bn=1.0, symmetric_roll=True, **_TINY),
    "cifar100": RecoverRecipe(
        classes=100, size=32, iterations=1000, jitter=4, crop=False, mean=CIFAR_MEAN, deviation=CIFAR_STD
    ),
    "cda_imagenet": RecoverRecipe(curriculum="cosine"),
    "cda_tiny": RecoverRecipe(learning_rate=0.4, r_bn=0.05, curriculum="cosine", **_TINY),
    "cda_imagenet21k": RecoverRecipe(
        classes=10450,
        images_per_class=20,
        iterations=2000,
        learning_rate=0.05,
        r_bn=0.25,
        curriculum="cosine",
        class_digits=5,
    ),
}
"""The published scripts. Of tiny a set of 100 pictures a class was released too, and one of 50 made in 1000
iterations; the mean and deviation of cda_imagenet21k are ImageNet's, its own are not known to us."""
