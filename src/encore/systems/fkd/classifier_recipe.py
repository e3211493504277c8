"""The values of a classifier's training on labelled pictures: squeeze, online distillation, baselines."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Optional, Tuple

import torch

from encore.data.training_transform import (
    CIFAR_MEAN,
    CIFAR_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    TINY_MEAN,
    TINY_STD,
)
from encore.runtime.parameters import from_mapping, limited
from encore.runtime.refusal import Refusal
from encore.runtime.shared_memory import loader_bytes
from encore.systems.fkd import optimizers
from encore.systems.fkd.crops import check_scale
from encore.systems.fkd.mixing import ALPHAS, KINDS

FREE = ("workers", "validation_workers", "save_every")
"""What a resumed run may change: none of it enters the network."""
LAYOUTS = ("bare", "model", "state_dict")


@dataclass(frozen=True)
class Schedule:
    """The learning rate of an epoch; the defaults are those of ImageNet's teacher."""

    kind: str = limited("step", choices=("step", "cosine", "linear", "constant"))
    step_epochs: int = limited(30, low=1)
    """Step only: epochs between two drops."""
    step_factor: float = limited(0.1, low=0, high=1)
    """Step only: what the rate is multiplied by."""
    warm_up_epochs: int = limited(0, low=0)
    """Epochs before the schedule starts; published: 5 for Tiny-ImageNet, else none."""
    warm_up_start: float = limited(0.01, low=0, high=1)
    """Factor in the first of them, from where it rises evenly to 1."""

    def factor(self, epoch, epochs):
        """Factor on the learning rate in `epoch` (counted from 0) of `epochs`."""
        warm_up = self.warm_up_epochs
        if epoch < warm_up:
            return self.warm_up_start + (1.0 - self.warm_up_start) * epoch / warm_up
        if self.kind == "constant":
            return 1.0
        if self.kind == "step":
            return self.step_factor ** ((epoch - warm_up) // self.step_epochs)
        return optimizers.SCHEDULES[self.kind](epoch - warm_up, epochs - warm_up)


@dataclass(frozen=True)
class OptimizerValues:
    """The defaults are those of ImageNet's teacher."""

    name: str = limited("sgd", choices=("sgd", "adamw"))
    learning_rate: float = limited(0.1, low=0)
    momentum: float = limited(0.9, low=0, high=1)
    """SGD only, without Nesterov."""
    weight_decay: float = limited(1e-4, low=0)
    decay: str = limited("all", choices=("all", "weights"))
    """all: of every parameter, those of BatchNorm and the biases too (torchvision's recipe, Tiny-ImageNet,
    CIFAR-100); weights: of those that `optimizers.decays` names (published online distillation)."""

    def build(self, network):
        """The optimizer of `network`."""
        if self.decay == "weights":
            groups = optimizers.parameter_groups(network, self.weight_decay)
        else:
            parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
            groups = [{"params": parameters, "weight_decay": self.weight_decay}]
        if self.name == "sgd":
            return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum)
        return torch.optim.AdamW(
            groups, lr=self.learning_rate, betas=optimizers.ADAMW_BETAS, eps=optimizers.ADAMW_EPSILON
        )


@dataclass(frozen=True)
class Augmentation:
    """What a training picture goes through before it is normalised; the defaults are ImageNet's."""

    crop: str = limited("resized", choices=("resized", "padded"))
    """resized: a random part, enlarged or reduced to the side; padded: a random place of the whole picture
    in a black border (CIFAR-100), the picture resized to the side first where it has another."""
    min_scale: float = limited(0.08, low=0, high=1)
    """Resized only: least share of the area, with max_scale."""
    max_scale: float = limited(1.0, low=0, high=1)
    pad: int = limited(4, low=0)
    """Padded only: pixels of the border on each side."""
    flip: float = limited(0.5, low=0, high=1)
    """Chance of mirroring the picture; 0 for what has a direction, such as digits."""

    def __post_init__(self):
        check_scale((self.min_scale, self.max_scale), "augmentation.min_scale and max_scale")


@dataclass(frozen=True)
class Distillation:
    """Learning from a teacher's answers to each mixed batch instead of labels; the defaults are those of the
    published training on stored labels, since those of its online variant are not all written down."""

    temperature: float = limited(20.0, low=0)
    squared: bool = False
    """Whether the loss is multiplied by temperature² (published: on Tiny-ImageNet)."""
    mix: str = limited("cutmix", choices=KINDS)
    """Drawn afresh for each batch."""
    mixup: float = limited(ALPHAS["mixup"], low=0)
    """Both parameters of mixup's Beta distribution."""
    cutmix: float = limited(ALPHAS["cutmix"], low=0)

    def __post_init__(self):
        for name in ("temperature", "mixup", "cutmix"):
            if not 0 < getattr(self, name) < float("inf"):
                raise Refusal(
                    "distillation.%s must be above 0 and finite, found %g" % (name, getattr(self, name))
                )

    @property
    def alpha(self):
        """Of the kind of mixing; None without."""
        return None if self.mix == "none" else getattr(self, self.mix)


@dataclass(frozen=True)
class ClassifierRecipe:
    """Everything that a classifier depends on, besides its shape, pictures and teacher; the defaults are
    torchvision's reference recipe, by which ImageNet's published teachers were made."""

    seed: int = limited(0, low=0)
    """Of initial weights, order, crops, flips, mixing and dropout; the published runs set none."""
    size: int = limited(224, low=1)
    """Side of what the network is shown, in pixels."""
    mean: Tuple[float, float, float] = IMAGENET_MEAN
    deviation: Tuple[float, float, float] = IMAGENET_STD
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = limited(90, low=1)
    batch: int = limited(256, low=1)
    """Pictures that are mixed together (published for ImageNet: 8 GPUs with 32 each)."""
    replicas: int = limited(8, low=1)
    """Parts of a batch with BatchNorm statistics of their own, as on so many GPUs; the running statistics
    are those of the first. Published: 8 for ImageNet, else 1."""
    accumulation: int = limited(1, low=1)
    """Batches that one update adds up. Unlike in the training on stored labels the update then has batch x
    accumulation pictures. All pictures of an update weigh the same, in the last one of an epoch too."""
    optimizer: OptimizerValues = field(default_factory=OptimizerValues)
    schedule: Schedule = field(default_factory=Schedule)
    distillation: Optional[Distillation] = None
    """None: the pictures' own classes and cross entropy."""
    validate_every: int = limited(1, low=1)
    """Epochs between validations; the last epoch is validated too."""
    validation_resize: Optional[int] = limited(256, low=1)
    """Shorter side before the centre crop; None: not resized (published for Tiny-ImageNet, CIFAR-100)."""
    validation_batch: Optional[int] = limited(None, low=1)
    """None: as many as `batch`."""
    validation_limit: Optional[int] = limited(None, low=1)
    """At most so many pictures; None: all."""
    keep_best: bool = False
    """Whether the result is the network of the best validated epoch (published for CIFAR-100, chosen by its
    test pictures) instead of the last one."""
    layout: str = limited("bare", choices=LAYOUTS)
    """Of the result: torchvision's bare weights, those under `model` (published for Tiny-ImageNet) or under
    `state_dict` (CIFAR-100, students)."""
    save_every: int = limited(0, low=0)
    """Updates between checkpoints within an epoch; 0: one after each epoch only."""
    workers: int = limited(16, low=0, high=1024)
    """Processes that make training pictures; torchvision's default for each of its processes."""
    validation_workers: Optional[int] = limited(None, low=0, high=1024)
    """None: as many as `workers`."""

    def __post_init__(self):
        if self.schedule.warm_up_epochs >= self.epochs:
            raise Refusal(
                "schedule.warm_up_epochs must be below epochs, found %d of %d"
                % (self.schedule.warm_up_epochs, self.epochs)
            )
        if self.batch % self.replicas:
            raise Refusal(
                "batch (%d) must give each of %d replicas as many pictures: choose a multiple"
                % (self.batch, self.replicas)
            )
        if not 0 < self.learning_rate < float("inf"):
            raise Refusal("optimizer.learning_rate must be above 0 and finite, found %g" % self.learning_rate)
        if min(self.deviation) <= 0:
            raise Refusal("deviation must be above 0 in each channel, found %s" % (self.deviation,))

    @property
    def update(self):
        """Pictures of a whole update."""
        return self.batch * self.accumulation

    @property
    def learning_rate(self):
        """That of the schedule's factor 1."""
        return self.optimizer.learning_rate

    def factor(self, epoch):
        """Factor on the learning rate in an epoch."""
        return self.schedule.factor(epoch, self.epochs)

    def rate(self, epoch):
        """Learning rate of an epoch."""
        return self.learning_rate * self.factor(epoch)

    def build_optimizer(self, network):
        """The optimizer of `network`."""
        return self.optimizer.build(network)

    def validates(self, epoch):
        """Whether the epoch ends with a validation."""
        return epoch % self.validate_every == 0 or epoch + 1 == self.epochs

    def shared_memory(self):
        """Bytes of shared memory that the loader's uint8 pictures need."""
        return loader_bytes(self.workers, self.update * 3 * self.size**2)

    def digest(self):
        """What a resumed run must share with the one that wrote the checkpoint, as name -> text."""
        values = dataclasses.asdict(self)
        for free in FREE:
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}


_TINY = ClassifierRecipe(
    size=64,
    mean=TINY_MEAN,
    deviation=TINY_STD,
    epochs=50,
    batch=256,
    replicas=1,
    optimizer=OptimizerValues(learning_rate=0.2),
    schedule=Schedule("cosine", warm_up_epochs=5),
    validation_resize=None,
    layout="model",
)
_CIFAR = ClassifierRecipe(
    size=32,
    mean=CIFAR_MEAN,
    deviation=CIFAR_STD,
    augmentation=Augmentation("padded"),
    epochs=200,
    batch=128,
    replicas=1,
    optimizer=OptimizerValues(weight_decay=5e-4),
    schedule=Schedule("cosine"),
    validation_resize=None,
    keep_best=True,
    layout="state_dict",
)
_ADAMW = OptimizerValues("adamw", 0.001, weight_decay=0.01, decay="weights")

SQUEEZE = {"imagenet": ClassifierRecipe(), "tiny": _TINY, "cifar100": _CIFAR}
"""The published teachers' trainings, all of ResNets, the last two with a small stem. Tiny-ImageNet's was also
run for 100 and 200 epochs; that of 50 is the one pictures are recovered from."""
ONLINE = {
    "imagenet": ClassifierRecipe(
        epochs=300,
        batch=512,
        replicas=1,
        accumulation=2,
        optimizer=_ADAMW,
        schedule=Schedule("cosine"),
        distillation=Distillation(),
        validate_every=10,
        layout="state_dict",
    ),
    "tiny": dataclasses.replace(_TINY, epochs=100, distillation=Distillation(squared=True, mix="none")),
    "cifar100": dataclasses.replace(
        _CIFAR,
        epochs=400,
        optimizer=_ADAMW,
        distillation=Distillation(temperature=30.0, mix="mixup"),
    ),
}
"""The published trainings of students from an online teacher: all there is for the two small sets, and the
alternative to stored labels on ImageNet. What is not written down of ImageNet's (epochs, temperature, mixing,
schedule) is that of the training on stored labels, and CIFAR-100's weight decay spares what ImageNet's
does."""


def changed_recipe(preset, values):
    """The recipe `preset` with single values in place of its own, as a parameter file gives them.

    values: name -> value; a mapping for one of the recipe's parts changes single values of that part. Raises
    Refusal, naming the value, for one that is unknown, of another type or out of range.
    """
    return from_mapping(ClassifierRecipe, _over(dataclasses.asdict(preset), values), "recipe")


def _over(own, values):
    changed = dict(own)
    for name, value in values.items():
        part = isinstance(value, dict) and isinstance(own.get(name), dict)
        changed[name] = _over(own[name], value) if part else value
    return changed
