"""Relabel: show a teacher every picture in every epoch's crop and mix, and store what it says.

Published: the crops come from the generators of the loader processes and the mixing from unseeded NumPy, so
labels depend on the number of processes and cannot be made again. Here every draw has the address of its
picture or batch: labels are the same for any number of processes, any range of epochs is made anywhere, and a
killed run goes on with the first epoch that is missing.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np
import torch

from encore.data.training_transform import IMAGENET_MEAN, IMAGENET_STD
from encore.runtime import numerics
from encore.runtime.atomic import write_json
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.placed_network import PlacedNetwork
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.runtime.shard_map import ReadingAhead, map_units
from encore.runtime.shared_memory import loader_bytes
from encore.runtime.unit_needs import DEVICE
from encore.systems.fkd.addressed_batches import BatchFlow, BatchKeys, Deliverable, cropped_pixels
from encore.systems.fkd.batch_order import SAMPLER_SEED, BatchOrder
from encore.systems.fkd.crops import check_scale, draw_crop, draw_flip, stored
from encore.systems.fkd.distilled_batches import mixed_inputs
from encore.systems.fkd.label_batch import LabelBatch, LabelDescription
from encore.systems.fkd.label_store import LabelStoreWriter
from encore.systems.fkd.mixing import ALPHAS, KINDS, draw_mix

RECORD = "relabel.json"
"""What the labels of a folder were made with, beside them."""


@dataclass(frozen=True)
class RelabelRecipe:
    """Everything the labels depend on besides pictures and teacher; the defaults are the published ones for
    ImageNet-1K."""

    seed: int = limited(0, low=0)
    """Of crops, flips and mixing (published: not seeded)."""
    sampler_seed: int = limited(SAMPLER_SEED, low=0)
    """Of the order of the pictures (`--fkd-seed`); the published trainer reads no labels of another one."""
    batch: int = limited(1024, low=1)
    """Must be the training run's: pictures are mixed within a batch."""
    epochs: int = limited(300, low=1)
    size: int = limited(224, low=1)
    """Side of the crops in pixels."""
    min_scale: float = limited(0.08, low=0, high=1)
    max_scale: float = limited(1.0, low=0, high=1)
    flip: float = limited(0.5, low=0, high=1)
    """Chance that a crop is mirrored (published: 0.5); 0 for pictures that have a direction, as digits."""
    mix: str = limited("cutmix", choices=KINDS)
    """The published flag's default is none, its script's cutmix."""
    mixup: float = limited(ALPHAS["mixup"], low=0)
    """Parameter of the Beta distribution."""
    cutmix: float = limited(ALPHAS["cutmix"], low=0)
    half: bool = True
    """Store logits in float16 (`--use-fp16`, which the published script sets)."""
    top_k: Optional[int] = limited(None, low=1)
    """Store the largest classes only (published: all)."""
    temperature: Optional[float] = limited(None, low=0)
    """With top_k: the training run's."""
    mean: Tuple[float, ...] = limited(IMAGENET_MEAN, low=0, high=1)
    deviation: Tuple[float, ...] = limited(IMAGENET_STD, low=0)
    workers: int = limited(8, low=0, high=1024)

    def __post_init__(self):
        check_scale((self.min_scale, self.max_scale), "fkd.relabel.min_scale and max_scale")
        if self.mix != "none" and not self.alpha > 0:
            raise Refusal("fkd.relabel.%s must be above 0, found %g" % (self.mix, self.alpha))
        if len(self.mean) != 3 or len(self.deviation) != 3 or not min(self.deviation) > 0:
            raise Refusal(
                "fkd.relabel: mean and deviation are three numbers each, deviation above 0, found %s and %s"
                % (list(self.mean), list(self.deviation))
            )

    @property
    def alpha(self):
        """The Beta distribution's parameter of this recipe's kind of mixing."""
        return {"mixup": self.mixup, "cutmix": self.cutmix, "none": None}[self.mix]

    def shared_memory(self):
        """Bytes of shared memory that the loader's batches of uint8 crops need."""
        return loader_bytes(self.workers, self.batch * 3 * self.size**2)

    def digest(self):
        """What all epochs of one label set must share, as name -> text: all but epochs and workers."""
        values = dataclasses.asdict(self)
        for free in ("epochs", "workers"):
            del values[free]
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}


class DrawnBatch(NamedTuple):
    """One batch of crops before it is mixed."""

    coords: torch.Tensor
    """float32 (b, 4): see `crops.stored`."""
    flips: torch.Tensor
    """bool (b,)"""
    pixels: torch.Tensor
    """uint8 (b, 3, size, size): cropped and flipped."""


class _DrawnBatches(Deliverable):
    """Item (epoch, number, indices) -> DrawnBatch, each picture's draws from the address (seed, "fkd",
    "relabel", epoch, picture)."""

    def __init__(self, images, recipe):
        self.images, self.seed, self.size, self.flip = images, recipe.seed, recipe.size, recipe.flip
        self.scale = recipe.min_scale, recipe.max_scale

    def made(self, epoch, number, indices):
        coords, flips = np.empty((len(indices), 4), np.float32), np.empty(len(indices), bool)
        generator = torch.Generator()

        def view(row, height, width):
            generator.manual_seed(derive_seed(self.seed, "fkd", "relabel", epoch, int(indices[row])))
            box = draw_crop(height, width, self.scale, generator)
            coords[row], flips[row] = stored(box, height, width), draw_flip(generator, self.flip)
            return box, flips[row]

        pixels = cropped_pixels(self.images, indices, view, self.size)
        return DrawnBatch(torch.from_numpy(coords), torch.from_numpy(flips), pixels)


class Relabelling:
    """Makes the LabelBatches of `images` (ClassFolders) with `teacher`, a network from float32 (b, 3, size,
    size) to logits (b, classes), on `device` ("cuda", "cpu").

    The teacher is put into evaluation mode (BatchNorm by its running statistics); its logits are stored raw:
    no softmax, no temperature.
    """

    def __init__(self, recipe, images, teacher, device):
        self.recipe = recipe
        self._placed = PlacedNetwork(teacher.eval(), device)
        self.count = len(images)
        self.order = self._new_order()
        self._drawn = _DrawnBatches(images, recipe)

    @property
    def teacher(self):
        return self._placed.network

    @property
    def device(self):
        return self._placed.device

    def _new_order(self):
        return BatchOrder(self.count, self.recipe.batch, self.recipe.sampler_seed)

    def batches(self, epochs, start_method="fork"):
        """Iterate over (epoch, iterator over its LabelBatches) for `epochs`, ascending numbers; each iterator
        is to be used up before the next one is asked for."""
        for first, end in _runs(epochs):
            # an order of its own: the loader is ahead, and each order draws its epochs one after the other
            keys = BatchKeys(self._new_order(), first, 0, end)
            flow = BatchFlow(self._drawn, keys, None, self.recipe.workers, start_method)
            for epoch in range(first, end):
                yield epoch, (self._labelled(flow.next(), epoch, n) for n in range(self.order.batches))

    def teacher_input(self, drawn, epoch, number):
        """(MixDraw, float32 (b, 3, size, size)) that the teacher is shown of a DrawnBatch."""
        recipe = self.recipe
        mix = draw_mix(recipe.mix, len(drawn.pixels), recipe.size, recipe.alpha, recipe.seed, epoch, number)
        pixels = drawn.pixels.to(self.device)
        return mix, mixed_inputs(pixels, mix, recipe.mean, recipe.deviation)

    def _labelled(self, drawn, epoch, number):
        mix, shown = self.teacher_input(drawn, epoch, number)
        with torch.no_grad(), numerics.exact():
            logits = self.teacher(shown).to("cpu", torch.float32)
        if self.recipe.half:
            logits = logits.half()
        indices = self.order.indices(epoch, number).clone()
        finite = torch.isfinite(logits).all(1)
        if not bool(finite.all()):
            first = self._drawn.images.name(int(indices[int((~finite).nonzero()[0])]))
            raise Refusal(
                "epoch %d, batch %d: the teacher's logits of %d of %d pictures, the first is %s, are not "
                "finite%s: check its weights"
                % (
                    epoch,
                    number,
                    int((~finite).sum()),
                    len(finite),
                    first,
                    " in float16" if self.recipe.half else "",
                )
            )
        return LabelBatch(indices, drawn.coords, drawn.flips, mix, logits)


def relabel(recipe, images, teacher, folder, classes, teacher_digest=None, device=None, epochs=None):
    """Write the labels of `images` as a label store into `folder`.

    classes: the teacher's outputs. teacher_digest: SHA-256 of its weights, kept with the labels. epochs: a
    range of epochs to make here, the others elsewhere (default: all). Epochs that are there already are kept.
    Returns the LabelStore once every epoch is there, else None; labels in the published layout are made of it
    by `label_conversion.to_published`. Raises Refusal for a folder with labels of another recipe, for a
    picture that cannot be read, and for logits that are not finite.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    asked = range(recipe.epochs) if epochs is None else epochs
    if len(asked) and not 0 <= min(asked) <= max(asked) < recipe.epochs:
        raise Refusal("epochs %s: expected some of 0 to %d" % (list(asked)[:5], recipe.epochs - 1))
    description = LabelDescription(
        count=len(images),
        batch=recipe.batch,
        epochs=recipe.epochs,
        classes=classes,
        mix=recipe.mix,
        dtype="float16" if recipe.half else "float32",
        seed=recipe.sampler_seed,
        size=recipe.size,
        min_scale=recipe.min_scale,
        max_scale=recipe.max_scale,
        mean=recipe.mean,
        deviation=recipe.deviation,
        teacher=teacher_digest,
        pictures=images.digest,
        recipe=recipe_digest(recipe.digest()),
        top_k=recipe.top_k,
        temperature=recipe.temperature,
    )
    writer = LabelStoreWriter(folder, description, images.names)
    _claim(folder, dict(recipe.digest(), teacher=teacher_digest, pictures=images.digest))
    missing = [epoch for epoch in sorted(set(asked)) if not writer.finished(epoch)]
    made = Relabelling(recipe, images, teacher, device)
    work = map_units(lambda: _EpochWriter(made, writer), missing, 1, DEVICE, [folder])
    for _ in progress(work, len(missing), "epochs of labels"):
        pass
    if all(writer.finished(epoch) for epoch in range(recipe.epochs)):
        return writer.finish()
    return None


class _EpochWriter(ReadingAhead):
    """Number of an epoch -> its labels, written; pictures are read ahead of the teacher."""

    def __init__(self, made, writer):
        self.made, self.writer = made, writer

    def each(self, units):
        for epoch, batches in self.made.batches(units):
            yield self.writer.write(epoch, batches)


def _claim(folder, made_with):
    """Refuse a folder whose labels were made with anything else; else say there what these are made with."""
    path = os.path.join(os.fspath(folder), RECORD)
    if not os.path.isfile(path):
        return write_json(path, made_with)
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except ValueError:
        found = {}
    for name in sorted(made_with):
        if not isinstance(found, dict) or found.get(name) != made_with[name]:
            raise Refusal(
                "%s: labels made with another %s are there (%s, now %s): remove the folder, or choose another"
                % (folder, name, found.get(name) if isinstance(found, dict) else found, made_with[name])
            )


def _runs(numbers):
    """[first, end) of each run of consecutive numbers."""
    numbers = sorted(numbers)
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[start], numbers[place - 1] + 1
            start = place
