"""The generated training set: every tenth picture, one plain and nineteen augmented copies."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from encore.data.augment.assets import Assets
from encore.data.augment.isc_chain import PUBLISHED, IscChain
from encore.data.foreign import ForeignPictures
from encore.data.image_source import open_source
from encore.data.images import RejectedImage
from encore.data.shard_writing import Rejected, write_data_set
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.isc.generation import generate_class


@dataclasses.dataclass(frozen=True)
class ChainParameters:
    """Which chain makes the copies, and what it pastes."""

    recipe: str = limited(choices=tuple(sorted(PUBLISHED)))
    size: int = limited(low=8, high=4096)
    """Width and height of every copy in pixels (published: 256)."""
    foreign: str = limited()
    """Folder of the pictures that are pasted (published: a part of OpenImages)."""
    foreign_pictures: int = limited(low=1)
    """How many of them are drawn among (published: 10,001, `randint(0, 10000)`)."""
    text_layout: str = limited(choices=("raqm", "basic"))

    def published(self):
        """The named recipe at this size."""
        return dataclasses.replace(
            PUBLISHED[self.recipe], size=self.size, foreign_pictures=self.foreign_pictures
        )

    def recipe_values(self):
        """All that decides what the chain makes, the numbers behind the recipe's name included."""
        return dict(dataclasses.asdict(self), values=dataclasses.asdict(self.published()))

    def make(self):
        """The chain, ready to use in this process."""
        import torch

        torch.set_num_threads(1)
        foreign = ForeignPictures(self.foreign, self.foreign_pictures)
        return IscChain(self.published(), Assets(self.text_layout), foreign)


@dataclasses.dataclass(frozen=True)
class GenerateParameters:
    """Parameters of the stage `generate`."""

    images: str = limited()
    """The training pictures (published: 1,000,000 challenge training images)."""
    every: int = limited(low=1)
    """Each `every`-th picture of the sorted list makes a class (published: 10)."""
    copies: int = limited(low=2)
    """Files a class, the un-augmented copy 0 included (published: 20)."""
    quality: int = limited(low=1, high=100)
    """JPEG quality (published: 100)."""
    chain: ChainParameters
    seed: int = limited(low=0)
    workers: int = limited(low=1, high=1024)
    classes_per_shard: int = limited(low=1)
    max_rejected: int = limited(low=0)
    """Unreadable source pictures that are allowed; the published script stops at the first."""

    def recipe(self):
        """What decides the result: everything but how the work is spread and what is tolerated."""
        values = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in ("workers", "max_rejected")
        }
        return dict(values, chain=self.chain.recipe_values())


class SourceClass(NamedTuple):
    """One class of a training set: the picture that all its copies are made of."""

    class_id: int
    source: Any
    """Where the picture lies (an image source)."""
    position: int
    """Which of the source's pictures."""


def base_classes(images, every):
    """The classes of each `every`-th picture of `images`, numbered from 0; Refusal where there is none."""
    source = open_source(images)
    positions = range(0, len(source), every)
    if not positions:
        raise Refusal("{}: no pictures there: see `encore data`".format(images))
    return [SourceClass(class_id, source, position) for class_id, position in enumerate(positions)]


def generate_training_set(folder, parameters, digest, system):
    """Write the training set into `folder`; returns its Manifest. `digest`: the recipe's digest."""
    classes = base_classes(parameters.images, parameters.every)
    return write_classes(folder, classes, parameters, digest, (parameters.seed, system))


def write_classes(folder, classes, parameters, digest, address):
    """Write all copies of `classes` (SourceClass, in order) into `folder`; returns the Manifest.

    parameters: a GenerateParameters. address: (seed, system, ...), the first part of every draw's address.
    """
    step = parameters.classes_per_shard
    units = [classes[start : start + step] for start in range(0, len(classes), step)]

    def make_worker():
        chain = parameters.chain.make()
        return lambda unit: _copies(unit, chain, parameters, address)

    return write_data_set(
        folder, units, make_worker, parameters.workers, digest, parameters.max_rejected, "generate shards"
    )


def _copies(classes, chain, parameters, address):
    for class_id, source, position in classes:
        try:
            copies = generate_class(
                source.read(position),
                class_id,
                parameters.copies,
                chain,
                address,
                parameters.chain.size,
                parameters.quality,
            )
        except RejectedImage as error:
            yield Rejected(source.names[position], error.reason)
            continue
        for name, data in copies:
            yield name, data, class_id
