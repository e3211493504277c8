"""A small training set of the detector for tests: folders of pictures, and parameters that use them."""

from __future__ import annotations

import os

from PIL import Image

from encore.systems.isc_overlays.training_set import GenerateParameters, generate_overlay_set

SIZE = 48


def picture_folders(folder, training=10, foreign=4):
    """Noise pictures in `folder`/training and plain ones in `folder`/foreign."""
    for name, count in (("training", training), ("foreign", foreign)):
        os.makedirs(str(folder / name))
        for i in range(count):
            path = str(folder / name / "{}{:06d}.png".format(name[0].upper(), i))
            if name == "training":
                Image.effect_noise((SIZE, SIZE), 40 + 15 * i).convert("RGB").save(path)
            else:
                Image.new("RGB", (SIZE, SIZE), (20 * i, 90, 120)).save(path)


def parameters(folder, **changes):
    values = dict(
        images=str(folder / "training"),
        every=1,
        copies=3,
        validation=0.3,
        quality=100,
        foreign=str(folder / "foreign"),
        foreign_pictures=4,
        pictures_per_shard=4,
    )
    return GenerateParameters(**dict(values, **changes))


def small_set(folder, name="set", **changes):
    """Make the set in `folder`/`name` and return that path."""
    os.makedirs(str(folder / name))
    generate_overlay_set(str(folder / name), parameters(folder, **changes), "digest")
    return folder / name
