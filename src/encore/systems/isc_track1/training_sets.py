"""The 11 generated training sets of Track 1: nine chains, and two of them with classes of faces behind."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from encore.data.image_source import open_source
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.isc.training_set import (
    ChainParameters,
    GenerateParameters,
    SourceClass,
    base_classes,
    write_classes,
)
from encore.systems.isc_track1.data_sets import DataSet
from encore.systems.isc_track1.divisible import refuse_unless_divisible, surplus
from encore.systems.isc_track1.faces import read_chosen

SYSTEM = "isc_track1"


@dataclasses.dataclass(frozen=True)
class SharedChain:
    """What all chains share; the recipe is that of the data set."""

    size: int = limited(low=8, high=4096)
    """Width and height of every copy in pixels (published: 256)."""
    foreign: str = limited()
    """Folder of the pictures that are pasted (published: a part of OpenImages)."""
    foreign_pictures: int = limited(low=1)
    """How many of them are drawn among (published: 10,001, `randint(0, 10000)`)."""
    text_layout: str = limited(choices=("raqm", "basic"))


@dataclasses.dataclass(frozen=True)
class TrainingSetParameters:
    """Parameters of the stage `generate`, the same for all data sets."""

    images: str = limited()
    """The training pictures (published: 1,000,000 challenge training images)."""
    every: int = limited(low=1)
    """Each `every`-th picture of the sorted list makes a class (published: 10)."""
    copies: int = limited(low=2)
    """Files a class, the un-augmented copy 0 included (published: 20)."""
    quality: int = limited(low=1, high=100)
    """JPEG quality (published: 100, in some scripts 1000, which gives the same bytes)."""
    chain: SharedChain
    seed: int = limited(low=0)
    workers: int = limited(low=1, high=1024)
    classes_per_shard: int = limited(low=1)
    max_rejected: int = limited(low=0)
    """Unreadable source pictures that are allowed; the published script stops at the first."""

    def of(self, data_set: DataSet):
        """The GenerateParameters of one data set."""
        chain = ChainParameters(recipe=data_set.recipe, **dataclasses.asdict(self.chain))
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return GenerateParameters(**dict(values, chain=chain))


class SetPlan(NamedTuple):
    """The classes of one data set, before anything is made."""

    classes: tuple
    """SourceClass each: the base set's, from 0, then those of pictures with faces."""
    face_classes: int
    dropped: int
    """Classes of faces that were left out, the last ones, so that the number of classes divides by 4."""


def plan_training_set(data_set: DataSet, parameters, faces_folder):
    """SetPlan of a data set; Refusal where its number of classes cannot be made to divide by 4.

    faces_folder: the stage `faces`' output, read for a data set with faces only. Ids of faces go on where the
    base set's end (published numbering unknown; 100000 upward at the published size).
    """
    base = base_classes(parameters.images, parameters.every)
    if not data_set.faces:
        refuse_unless_divisible(
            len(base), "{} from {}".format(data_set.name, parameters.images), "take up to 3 pictures away"
        )
        return SetPlan(tuple(base), 0, 0)
    faces = _face_classes(len(base), faces_folder)
    dropped = surplus(len(base) + len(faces))
    if dropped >= len(faces):
        raise Refusal(
            "{}: {} pictures with faces on {} classes of the base set, expected more than the {} that are "
            "left out to divide by 4: lower the detector's thresholds or give more candidates".format(
                faces_folder, len(faces), len(base), dropped
            )
        )
    kept = faces[: len(faces) - dropped]
    return SetPlan(tuple(base + kept), len(kept), dropped)


def _face_classes(first, folder):
    chosen = read_chosen(folder)
    source = open_source(chosen.source)
    places = {name: position for position, name in enumerate(source.names)}
    missing = [name for name in chosen.names if name not in places]
    if missing:
        raise Refusal(
            "{}: {} is not in {}: run the stage `faces` again".format(folder, missing[0], chosen.source)
        )
    return [SourceClass(first + i, source, places[name]) for i, name in enumerate(chosen.names)]


def write_training_set(folder, data_set: DataSet, plan: SetPlan, parameters, digest):
    """Write the planned data set into `folder`; returns its Manifest.

    Draws are addressed by the chain's recipe too, so that the sets are independent of each other, while the
    base classes of a set with faces are bit for bit those of the set with the same recipe.
    """
    manifest = write_classes(
        folder,
        list(plan.classes),
        parameters.of(data_set),
        digest,
        (parameters.seed, SYSTEM, data_set.recipe),
    )
    refuse_unless_divisible(
        manifest.classes, data_set.name, "mend or remove the rejected pictures (rejected.json has them)"
    )
    return manifest
