"""The pictures that overlay steps paste: the published folder of about 10,001 OpenImages pictures."""

from __future__ import annotations

import collections

from encore.data.image_source import open_source
from encore.data.images import RejectedImage, decode_image
from encore.runtime.refusal import Refusal


class ForeignPictures:
    """Maps an index in [0, count) to a loaded picture in its own mode.

    Index i is the i-th file name in string order (the published scripts took the unsorted directory listing,
    which differs between file systems). The last `kept` decoded pictures stay in memory.
    Raises Refusal when the folder holds fewer than `count` pictures, or one of them cannot be read.
    """

    def __init__(self, spec, count, kept=64):
        self._source, self._kept = open_source(spec), kept
        if len(self._source) < count:
            raise Refusal(
                "{}: {} pictures, the chain draws among {}: add pictures or lower foreign_pictures".format(
                    spec, len(self._source), count
                )
            )
        self._spec, self._recent = spec, collections.OrderedDict()

    def __call__(self, index):
        if index in self._recent:
            self._recent.move_to_end(index)
            return self._recent[index]
        try:
            picture = decode_image(self._source.read(index))
        except RejectedImage as error:
            raise Refusal(
                "{}: {}: {}: replace the picture".format(self._spec, self._source.names[index], error.reason)
            ) from None
        self._recent[index] = picture
        if len(self._recent) > self._kept:
            self._recent.popitem(last=False)
        return picture
