"""The blocks of a params.json as frozen values under their published names, with limits and defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Tuple, Union

from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal

SOFT_MARGIN = "soft_margin"
MODELS = ("resnet_18", "resnet_34", "resnet_50", "resnet_101", "resnet_152")
NAMINGS = ("market", "duke", "cuhk03", "msmt")
STATES = ("S", "H")
"""Of the published code: the one first published, and its last."""


@dataclass(frozen=True)
class BatchSampling:
    """How a batch is drawn."""

    batch_size: int = limited(32, low=1)
    """Pictures of each of the `parallels`."""
    class_balanced: bool = False
    P: int = limited(32, low=1)
    """Identities of a class-balanced batch."""
    K: int = limited(4, low=1)
    """Pictures of each of them."""


@dataclass(frozen=True)
class DataAugmentation:
    """How training pictures are changed; lengths in pixels."""

    mirror: bool = True
    colour_jitter: bool = False
    """Published names: colour_jiterring, and colour_jitering in the shipped files, which no code read."""
    crop_h: int = limited(0, low=0)
    crop_w: int = limited(0, low=0)
    padding_h: int = limited(0, low=0)
    padding_w: int = limited(0, low=0)
    random_erasing: bool = False
    rotation: float = limited(0.0, low=0, high=180)
    """Largest angle in degrees."""
    gaussian_noise: bool = False
    imagenet_static: bool = True
    """Whether training pictures are normalised by ImageNet's statistics, else by 0.5."""


@dataclass(frozen=True)
class LearningRates:
    """First rates of the backbone (base_lr) and of everything else (fc_lr), and how they fall."""

    base_lr: float = limited(0.01, low=0)
    fc_lr: float = limited(0.1, low=0)
    decay_gamma: float = limited(0.1, low=0)
    decay_step: Tuple[int, ...] = limited((10,), low=0)
    """S: one period in epochs, in iterations of class-balanced batches; H: epochs after the warm-up."""
    warmup_epoch: int = limited(0, low=0)


@dataclass(frozen=True)
class ModelParams:
    """The network."""

    model: str = limited("resnet_50", choices=MODELS)
    feature_dim: int = limited(1536, low=1)
    pcb_n_parts: int = limited(6, low=0)
    """Horizontal parts, 0: none."""
    random_drop_branchs: int = limited(0, low=0)
    last_conv_stride: int = limited(2, choices=(1, 2))
    """S: always 2."""
    spectral_trans: float = limited(0.0, low=0)
    """Temperature of the transform in training, 0: none."""
    feature_mask: bool = False
    feature_gobal_dim: int = limited(0, low=0)
    """Width of the global branch, 0: none (published spelling)."""

    def __post_init__(self):
        if self.pcb_n_parts and self.feature_dim % self.pcb_n_parts:
            raise Refusal(
                "feature_dim: expected a multiple of pcb_n_parts, {}, found {}".format(
                    self.pcb_n_parts, self.feature_dim
                )
            )


@dataclass(frozen=True)
class TripletParams:
    """The triplet loss; margin None: off, text "soft_margin": the soft margin."""

    margin: Union[None, float, str] = None
    lambda_cls: float = limited(0.0, low=0)
    lambda_tri: float = limited(10.0, low=0)
    use_adaptive_weight: bool = True

    def __post_init__(self):
        margin = self.margin
        numeric = isinstance(margin, (int, float)) and not isinstance(margin, bool) and margin > 0
        if margin not in (None, SOFT_MARGIN) and not numeric:
            raise Refusal("margin: expected None, a number above 0 or soft_margin, found {!r}".format(margin))


@dataclass(frozen=True)
class AngularSoftmax:
    """The margins of the angular softmax, one after the other, each for `step` iterations; (): off."""

    margin: Tuple[float, ...] = limited((), low=0)
    step: int = limited(2000, low=1)
    scale: float = limited(0.0, low=0)


@dataclass(frozen=True)
class EvaluationParams:
    """What is evaluated while training, and when; type None: nothing."""

    type: Optional[str] = "market_evaluate"
    step: Optional[int] = limited(None, low=1)
    epoch: Optional[int] = limited(None, low=1)


@dataclass(frozen=True)
class Teacher:
    """The run whose network teaches this one (of our own)."""

    model: str
    """Its folder."""
    temperature: float = limited(4.0, low=0)
    weight: float = limited(1.0, low=0)
    feature_weight: float = limited(0.0, low=0)

    def __post_init__(self):
        if not self.temperature > 0:
            raise Refusal("temperature: expected a number above 0, found {}".format(self.temperature))


@dataclass(frozen=True)
class OwnKeys:
    """The block `encore`: keys that the published files do not have."""

    state: Optional[str] = limited(None, choices=STATES)
    seed: int = limited(0, low=0)
    max_iterations: Optional[int] = limited(None, low=1)
    imagenet_weights: Optional[str] = None
    imagenet_sha256: Optional[str] = None
    evaluation_root: Optional[str] = None
    naming: str = limited("market", choices=NAMINGS)
    evaluators: Optional[str] = None
    """A folder of evaluator modules."""
    best_by: Optional[str] = None
    """The metric that decides which network is the best; None: the evaluator's own."""
    width: int = limited(64, low=1)
    layers: Optional[Tuple[int, ...]] = limited(None, low=1)
    replicas: Optional[int] = limited(None, low=1)
    """Shares of a batch, each with BatchNorm statistics and dropout of its own as on a GPU of the published
    run, whatever carries them; several processes need it. None: the GPUs in one process, 1 on the CPU."""
    save_every: int = limited(1000, low=1)
    keep_bytes: int = limited(0, low=0)
    """Memory for decoded pictures."""
    teacher: Optional[Teacher] = None
    query_flip: bool = False

    def __post_init__(self):
        if self.layers is not None and len(self.layers) != 4:
            raise Refusal("layers: expected the blocks of 4 stages, found {}".format(list(self.layers)))
        if self.imagenet_sha256 is not None and not re.match("[0-9a-f]{64}$", self.imagenet_sha256):
            raise Refusal("imagenet_sha256: expected 64 hex digits, found {!r}".format(self.imagenet_sha256))
