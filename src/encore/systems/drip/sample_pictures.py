"""Pictures by sample id: `<root>/<folder of the letter>`, each a data set, or a folder of `<id>.jpg`."""

from __future__ import annotations

import os

import numpy as np

from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.runtime.refusal import Refusal
from encore.systems.drip.samples import ID_SPACES, SampleIds, id_space


class SamplePictures:
    """The pictures of a resized copy (or of the raw pictures, in the published layout) below `root`.

    A folder is opened when its first picture is asked for. An object can be handed to worker processes.
    """

    def __init__(self, root):
        self.root = str(root)
        self._folders = {}

    def read(self, sample_id):
        """The bytes of the picture's file; Refusal for no id and for an id without a picture."""
        folder = self._folder(id_space(sample_id).letter)
        place = folder.places(np.array([sample_id], dtype="S"))[0]
        if place < 0:
            raise self._missing(sample_id)
        return folder.source.read(int(place))

    def open(self, sample_id):
        """The decoded picture in the file's own mode (published: no conversion); Refusal where broken."""
        try:
            return decode_image(self.read(sample_id))
        except RejectedImage as error:
            raise Refusal(
                "{}: {}: {}: make the resized copies again".format(self.root, sample_id, error.reason)
            ) from None

    def require(self, ids):
        """Refuse the first of `ids` (SampleIds) that has no picture, before hours of work."""
        texts = ids.texts()
        letters = texts.astype("S1")
        for letter in np.unique(letters).tolist():
            wanted = texts[letters == letter]
            id_space(wanted[0].decode("ascii"))
            absent = wanted[self._folder(letter.decode("ascii")).places(wanted) < 0]
            if len(absent):
                raise self._missing(absent[0].decode("ascii"), len(absent))

    def count(self, letter):
        """How many pictures the folder of `letter` holds."""
        return len(self._folder(letter).stems)

    def ids(self, letter):
        """The SampleIds of all pictures of `letter`, by number; Refusal for a name that is no such id."""
        space = ID_SPACES[letter]
        stems = [stem.decode("ascii") for stem in self._folder(letter).stems.tolist()]
        for stem in stems:
            if not space.holds(stem):
                raise Refusal(
                    "{}: {}.jpg: expected names like {}.jpg: move other files away".format(
                        os.path.join(self.root, space.folder), stem, space.sample_id(0)
                    )
                )
        return SampleIds(stems)

    def _folder(self, letter):
        if letter not in self._folders:
            self._folders[letter] = _Folder(os.path.join(self.root, ID_SPACES[letter].folder))
        return self._folders[letter]

    def _missing(self, sample_id, count=1):
        return Refusal(
            "{}: no {}.jpg ({} such): put the picture there and make the resized copies again, or leave the "
            "id out".format(
                os.path.join(self.root, ID_SPACES[sample_id[0]].folder),
                sample_id,
                "1 picture" if count == 1 else "{} pictures".format(count),
            )
        )


class _Folder:
    """One image source and the sorted stems of its `.jpg` names, in a few bytes each."""

    def __init__(self, spec):
        self.source = open_source(spec)
        rows = [
            (name[: -len(".jpg")], row)
            for row, name in enumerate(self.source.names)
            if name.endswith(".jpg") and name.isascii()
        ]
        rows.sort()
        self.stems = np.array([stem for stem, _ in rows], dtype="S")
        self._rows = np.array([row for _, row in rows], dtype=np.int64)

    def places(self, stems):
        """int64 (n,): the row in the source of each of `stems` (a bytes array); -1 where there is none."""
        if not len(self.stems):
            return np.full(len(stems), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.stems, stems), len(self.stems) - 1)
        return np.where(self.stems[found] == stems, self._rows[found], -1)
