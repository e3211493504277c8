"""The resized copy of all pictures, which training and inference read: 384-pixel squares (spec drip 1.5)."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from typing import Optional

from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.data.manifest import NAME, Manifest, verify_manifest
from encore.data.shard_writing import REJECTED, Rejected, remove_records, write_data_set
from encore.runtime.atomic import replacing
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.drip.imagenet_tree import open_imagenet
from encore.systems.drip.samples import ID_SPACES, check_ground_truth
from encore.systems.isc.generation import JPEG_MODES, jpeg

QUALITY = 75
"""Pillow's own default, as is the subsampling 4:2:0."""
GROUND_TRUTH = "public_ground_truth.csv"
ENDING = ".jpg"
"""Of a copy's name. A source may end in .png instead; the published script passes those over."""


@dataclasses.dataclass(frozen=True)
class ResizedCopyParameters:
    """Where the five folders of pictures are, and how they are resized. A folder may be empty, or null."""

    training_images: Optional[str] = limited()
    imagenet_images: Optional[str] = limited()
    """Renamed pictures (`imagenet_names`), or ImageNet's own train, val and test (`imagenet_tree`)."""
    face_frames: Optional[str] = limited()
    query_images: Optional[str] = limited()
    reference_images: Optional[str] = limited()
    ground_truth: Optional[str] = limited()
    """CSV query_id,reference_id, copied as it is."""
    size: int = limited(384, low=8, high=4096)
    """Side of the square in pixels (published: 384; 512 for one model of the ensemble)."""
    workers: int = limited(1, low=1, high=1024)
    images_per_shard: int = limited(10000, low=1)
    max_rejected: int = limited(0, low=0)
    """Pictures of a folder that may be unusable; the published script stops at the first."""

    def recipe(self):
        """What decides the result: everything but how the work is spread and what is tolerated."""
        return {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in ("workers", "max_rejected")
        }


def square_copy(data, size=384):
    """The bytes of a picture file -> those of its JPEG copy of `size` x `size` pixels.

    Bicubic, the aspect ratio not kept, quality 75, pixels the same on every Pillow up to the JPEG decoder.
    RGBA, LA, and P with transparency become RGB, alpha dropped (not composited); all other modes stay as they
    are (L, CMYK). Raises RejectedImage for what cannot be decoded and for modes that JPEG does not hold.
    Published quirk: a palette picture without transparency is one of those.
    """
    from encore.data.augment.resample import resize

    image = decode_image(data)
    if image.mode in ("RGBA", "LA") or (image.mode == "P" and "transparency" in image.info):
        image = image.convert("RGB")
    if image.mode not in JPEG_MODES:
        raise RejectedImage(
            "mode {} cannot be written as JPEG without a conversion that the published script does not make: "
            "the published run stops here".format(image.mode)
        )
    return jpeg(resize(image, (size, size)), QUALITY)


def write_resized_copies(folder, parameters, digest):
    """Write the data sets `<folder>/<name of the folder>` and the ground truth; returns {name: Manifest}.

    Files keep their names, `<id>.png` becomes `<id>.jpg`; labels are the ids' numbers; order is by name.
    digest: the recipe's digest. A folder or shard that a killed run finished is kept (the published run, once
    stopped, never goes on: spec trap 16). Refusal, before the first picture is read, for a source that is not
    there, a picture that is not named as its folder's ids are, two of one id, and a ground truth that is
    none; after a folder, for more than `max_rejected` unusable pictures in it, naming the first.
    """
    if parameters.ground_truth is not None:
        check_ground_truth(parameters.ground_truth)
    sources = {
        space.folder: _pictures(getattr(parameters, space.folder), space) for space in ID_SPACES.values()
    }
    os.makedirs(str(folder), exist_ok=True)
    manifests = {}
    for name, (source, rows) in sources.items():
        target = os.path.join(str(folder), name)
        manifests[name] = _kept(target, parameters, digest) or _written(
            target, source, rows, parameters, digest
        )
    if parameters.ground_truth is not None:
        with open(parameters.ground_truth, "rb") as given, replacing(
            os.path.join(str(folder), GROUND_TRUTH)
        ) as copy:
            shutil.copyfileobj(given, copy)
    return manifests


def _pictures(spec, space):
    """(source, [(name of the copy, row)] of its pictures by name); other files than pictures do not count."""
    if spec is None:
        return None, []
    source = open_imagenet(spec) if space.letter == "I" else open_source(spec)
    rows = []
    for row, name in enumerate(source.names):
        stem, ending = os.path.splitext(name)
        if ending in (ENDING, ".png"):
            if not space.holds(stem):
                raise Refusal(
                    "{}: {}: expected names like {}{}: move other files away".format(
                        spec, name, space.sample_id(0), ENDING
                    )
                )
            rows.append((stem + ENDING, row))
    rows.sort()
    for (name, row), (other, _) in zip(rows, rows[1:]):
        if name == other:
            raise Refusal(
                "{}: {}: the id stands twice, as .jpg and as .png: remove one".format(spec, source.names[row])
            )
    if source.names and not rows:
        raise Refusal(
            "{}: {} files, none of them called like {}{}: rename the pictures".format(
                spec, len(source.names), space.sample_id(0), ENDING
            )
        )
    return source, rows


def _kept(target, parameters, digest):
    """The Manifest of a folder that an earlier run of this recipe finished; None where there is none."""
    if not os.path.isfile(os.path.join(target, NAME)):
        return None
    manifest = Manifest.read(target)
    if manifest.recipe_digest == digest and not verify_manifest(target):
        with open(os.path.join(target, REJECTED), encoding="utf-8") as file:
            if len(json.load(file)) <= parameters.max_rejected:
                remove_records(target)
                return manifest
    shutil.rmtree(target)
    return None


def _written(target, source, rows, parameters, digest):
    os.makedirs(target, exist_ok=True)
    step = parameters.images_per_shard
    units = [rows[start : start + step] for start in range(0, len(rows), step)]
    return write_data_set(
        target,
        units,
        lambda: lambda unit: _copies(source, unit, parameters.size),
        parameters.workers,
        digest,
        parameters.max_rejected,
        os.path.basename(target),
    )


def _copies(source, rows, size):
    for name, row in rows:
        try:
            yield name, square_copy(source.read(row), size), int(name[1 : -len(ENDING)])
        except RejectedImage as error:
            yield Rejected(name, error.reason)
