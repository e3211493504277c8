"""What a label set holds of one batch, and what it says of itself."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Optional, Tuple

import torch

from encore.runtime.refusal import Refusal
from encore.systems.fkd.mixing import KINDS, MixDraw

DTYPES = {"float16": torch.float16, "float32": torch.float32}


class LabelBatch(NamedTuple):
    """One batch as the teacher saw it, on the CPU; not to be written to: tensors may share a file's pages."""

    indices: Optional[torch.Tensor]
    """int64 (b,): numbers of the pictures; None in the published layout, where only the sampler knows
    them."""
    coords: torch.Tensor
    """float32 (b, 4): top / height, left / width, and the crop's height and width as shares of the
    picture's."""
    flips: torch.Tensor
    """bool (b,): whether the crop was mirrored."""
    mix: MixDraw
    logits: torch.Tensor
    """float16 or float32 (b, classes): what the teacher said of the mixed batch, before softmax and
    temperature."""


@dataclasses.dataclass(frozen=True)
class LabelDescription:
    """What a label set says of itself; None where it does not know, as the published layout mostly."""

    count: int
    """Pictures."""
    batch: int
    """Pictures in a batch; the last one of an epoch may have fewer."""
    epochs: int
    classes: int
    mix: str
    """cutmix, mixup or none."""
    dtype: str
    """Of the stored logits: float16 or float32."""
    seed: Optional[int] = None
    """Of the sampler."""
    size: Optional[int] = None
    """Side in pixels of what the teacher saw."""
    min_scale: Optional[float] = None
    """Least share of a picture's area that a crop kept."""
    max_scale: Optional[float] = None
    mean: Optional[Tuple[float, ...]] = None
    """Of the channels, by which pixels from 0 to 1 were normalised for the teacher."""
    deviation: Optional[Tuple[float, ...]] = None
    teacher: Optional[str] = None
    """SHA-256 of the teacher's weights."""
    pictures: Optional[str] = None
    """Digest of the file list (`ClassFolders.digest`)."""
    recipe: Optional[str] = None
    """Digest of all else that the labels depend on: the draws' seed, parameters of the mixing, …"""
    top_k: Optional[int] = None
    """Classes stored of each picture; None: all."""
    temperature: Optional[float] = None
    """At which the rest of the probability was spread evenly; None where all classes are stored."""

    def __post_init__(self):
        for name in ("count", "batch", "epochs", "classes"):
            if getattr(self, name) < 1:
                raise Refusal("labels of {} {}: expected 1 or more".format(getattr(self, name), name))
        if self.mix not in KINDS or self.dtype not in DTYPES:
            raise Refusal(
                "labels of mixing {!r} in {!r}: expected one of {} in one of {}".format(
                    self.mix, self.dtype, ", ".join(KINDS), ", ".join(sorted(DTYPES))
                )
            )
        if (self.top_k is None) != (self.temperature is None):
            raise Refusal("labels of the top classes need both top_k and temperature, or neither for all")
        if self.top_k is not None and not (0 < self.top_k < self.classes and self.temperature > 0):
            raise Refusal(
                "labels of the top {} of {} classes at temperature {}: expected 1 to {} and above 0; leave "
                "both out to keep all classes".format(
                    self.top_k, self.classes, self.temperature, self.classes - 1
                )
            )

    @property
    def batches(self):
        """Batches of an epoch."""
        return -(-self.count // self.batch)

    def rows(self, number):
        """Pictures in batch `number`."""
        return min(self.batch, self.count - number * self.batch)


def check_batch(batch, description, number, where):
    """Refuse, naming `where` it is from, a LabelBatch that is not batch `number` of what `description`
    says."""
    rows = description.rows(number)
    expected = {
        "coords": (torch.float32, (rows, 4)),
        "flips": (torch.bool, (rows,)),
        "logits": (DTYPES[description.dtype], (rows, description.classes)),
    }
    if batch.indices is not None:
        expected["indices"] = torch.int64, (rows,)
    if description.top_k is not None:
        del expected["logits"]
    for name, (dtype, shape) in expected.items():
        _check_tensor(getattr(batch, name), dtype, shape, name, where)
    if batch.indices is not None and not _within(batch.indices, description.count):
        raise Refusal("{}: expected pictures 0 to {}, found others".format(where, description.count - 1))
    if not bool(((batch.coords >= 0) & (batch.coords <= 1)).all()):
        raise Refusal("{}: expected crops within 0 to 1, found others or NaN: relabel".format(where))
    _check_mix(batch.mix, description.mix, rows, where)


def _check_tensor(value, dtype, shape, name, where):
    if not torch.is_tensor(value) or value.dtype != dtype or tuple(value.shape) != shape:
        found = (
            "{} {}".format(tuple(value.shape), str(value.dtype).replace("torch.", ""))
            if torch.is_tensor(value)
            else type(value).__name__
        )
        raise Refusal(
            "{}: expected {} {} {}, found {}: these are labels of another batch size or kind, or damaged; "
            "relabel".format(where, name, shape, str(dtype).replace("torch.", ""), found)
        )


def _check_mix(mix, kind, rows, where):
    if mix.kind != kind:
        raise Refusal(
            "{}: expected labels of {} as the others of this set, found {}: relabel".format(
                where, kind, mix.kind
            )
        )
    if kind == "none":
        return
    _check_tensor(mix.order, torch.int64, (rows,), "a permutation", where)
    if not torch.equal(mix.order.sort().values, torch.arange(rows)):
        raise Refusal("{}: expected a permutation of the batch, found rows twice: relabel".format(where))
    if not 0 <= mix.share <= 1:
        raise Refusal("{}: expected a share of 0 to 1, found {}: relabel".format(where, mix.share))
    if kind == "cutmix" and not (0 <= mix.box[0] <= mix.box[2] and 0 <= mix.box[1] <= mix.box[3]):
        raise Refusal(
            "{}: expected a box (top, left, bottom, right), found {}: relabel".format(where, mix.box)
        )


def _within(indices, count):
    return bool(((indices >= 0) & (indices < count)).all())
