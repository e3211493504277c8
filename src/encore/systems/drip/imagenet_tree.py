"""ImageNet's own folders, or a tar of them, read as if they had been renamed (spec drip 1.2)."""

from __future__ import annotations

import os

from encore.data.image_source import TarSource, open_source
from encore.data.manifest import NAME
from encore.runtime.refusal import Refusal
from encore.systems.drip.imagenet_names import SPLITS, naming_plan, numbered


class ImagenetTree:
    """The pictures `**/*.JPEG` of train, val and test under the names that `renaming.rename` gives them.

    An image source: `names` (I0000000.jpg, ...), `read(i)`, `len()`. Nothing is copied. Refusal as
    naming_plan; in a tar, which does not tell of empty folders, also for a split without a picture.
    """

    def __init__(self, spec, tar=None):
        """tar: the TarSource of `spec`; None: it is a folder."""
        self.spec, self._tar = str(spec), tar
        plan = naming_plan(self.spec) if tar is None else numbered(self.spec, self._members())
        if not plan:
            raise Refusal("{}: no pictures *.JPEG: give the unpacked archive".format(self.spec))
        self.names = [sample_id + ".jpg" for _, sample_id in plan]
        self._paths = [path for path, _ in plan]
        if tar is not None:
            places = {name: place for place, name in enumerate(tar.names)}
            self._places = [places[path] for path in self._paths]

    def __len__(self):
        return len(self.names)

    def read(self, i):
        """The bytes of picture number `i`."""
        if self._tar is not None:
            return self._tar.read(self._places[i])
        with open(os.path.join(self.spec, self._paths[i]), "rb") as file:
            return file.read()

    def _members(self):
        """{split: its paths}."""
        found = {split: [] for split in SPLITS}
        for name in self._tar.names:
            split, mark, _ = name.partition("/")
            if mark and split in found and name.endswith(".JPEG"):
                found[split].append(name)
        for split, paths in found.items():
            if not paths:
                raise Refusal(
                    "{}: no picture *.JPEG in {}: expected {} there".format(
                        self.spec, split, ", ".join(SPLITS)
                    )
                )
        return found


def open_imagenet(spec):
    """The image source of `spec`: ImageNet's own folders (train, val and test lie directly below it), or
    renamed pictures in whatever `open_source` takes."""
    spec = str(spec)
    if os.path.isdir(spec):
        split = any(os.path.isdir(os.path.join(spec, split)) for split in SPLITS)
        return (
            ImagenetTree(spec)
            if split and not os.path.isfile(os.path.join(spec, NAME))
            else open_source(spec)
        )
    source = open_source(spec)
    if isinstance(source, TarSource) and any(name.split("/")[0] in SPLITS for name in source.names):
        return ImagenetTree(spec, source)
    return source
