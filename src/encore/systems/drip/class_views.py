"""The clean and the augmented view of each class of a training stage (spec drip 2)."""

from __future__ import annotations

import random
from typing import NamedTuple, Tuple

import numpy as np

from encore.data.augment.drip_chain import DripChain
from encore.runtime.refusal import Refusal
from encore.systems.drip.clean_view import VIEW_SIZE, clean_view, normalised, three_channels
from encore.systems.drip.sample_pictures import SamplePictures


class ClassViews:
    """The views of the classes of `samples` (TrainingSamples); class and picture are one.

    pictures: its `open(sample_id)` gives a decoded PIL picture, which is not changed. chain: the DripChain of
    the stage, whose output is `size` x `size`. normalisation: a mode of `clean_view.normalised`. Refusal,
    naming the picture, for one of two channels and for one whose augmentation fails again and again.
    """

    def __init__(self, samples, pictures, chain, normalisation="imagenet", size=VIEW_SIZE):
        if chain.size != (size, size):
            raise ValueError("expected a chain for {0} x {0} pixels, found {1}".format(size, chain.size))
        self.samples, self.pictures, self.chain = samples, pictures, chain
        self.normalisation, self.size = normalisation, size

    def __len__(self):
        return len(self.samples.classes)

    def clean(self, class_):
        """float32 (3, size, size): the picture, resized and normalised."""
        return normalised(self.clean_pixels(class_).transpose(1, 2, 0), self.normalisation)

    def augmented(self, class_, seed):
        """An augmented view, (float32 (3, size, size), names of the steps that raised).

        `seed`, an integer, decides on all draws. Names come once for each time that a step raised.
        """
        pixels, raised = self.augmented_pixels(class_, seed)
        return normalised(pixels.transpose(1, 2, 0), self.normalisation), raised

    def clean_pixels(self, class_):
        """As `clean`, uint8 before it is normalised."""
        sample_id = self.samples.classes[class_]
        return _channels_first(sample_id, clean_view(self.pictures.open(sample_id), self.size))

    def augmented_pixels(self, class_, seed):
        """As `augmented`, uint8 before it is normalised."""
        sample_id = self.samples.classes[class_]
        picture = self.pictures.open(sample_id)
        try:
            found = self.chain(picture, random.Random(seed), np.random.RandomState(seed % 2**32))
        except Refusal:
            raise
        except Exception as error:  # whatever the last of many attempts ended with
            raise Refusal(
                "{}: {} augmentations in a row failed, the last one with {}: {}: look at the picture, and at "
                "the versions of Pillow and numpy".format(
                    sample_id, self.chain.retries + 1, type(error).__name__, error
                )
            ) from error
        return _channels_first(sample_id, found.pixels), found.raised


def _channels_first(sample_id, pixels):
    try:
        return np.ascontiguousarray(three_channels(pixels).transpose(2, 0, 1))
    except ValueError as error:
        raise Refusal("{}: {}: make this picture RGB or grey".format(sample_id, error)) from None


def build_views(
    samples, root, assets, templates, intensity, normalisation="imagenet", size=VIEW_SIZE, keep_bytes=0
):
    """The ClassViews of `samples` on the pictures below `root` (as SamplePictures reads them).

    assets: DripAssets. templates: ScreenshotTemplates. keep_bytes: memory a process for decoded pictures and
    templates; small sets are then decoded once, and no pixel changes. Refusal, before any work, for a class
    or a picture of the overlay pool that is missing.
    """
    pictures = SamplePictures(root)
    pictures.require(samples.classes)  # opens the folders too, before loader processes are started
    pictures.require(samples.overlay_pool)
    kept = KeptPictures(keep_bytes)

    def opened(sample_id):
        return kept.get(sample_id, pictures.open)

    chain = DripChain(
        intensity,
        assets,
        samples.overlay_pool,
        opened,
        [_KeptTemplate(template, template.box, kept) for template in templates],
        (size, size),
    )
    return ClassViews(samples, _Opened(opened), chain, normalisation, size)


class KeptPictures:
    """Decoded pictures in memory, those that were asked for first, up to `keep_bytes` in all."""

    def __init__(self, keep_bytes):
        self._room, self._kept = keep_bytes, {}

    def get(self, key, make):
        """The picture of `key`: the kept one, or make(key), a PIL picture; not to be changed."""
        if key in self._kept:
            return self._kept[key]
        picture = make(key)
        size = picture.width * picture.height * len(picture.getbands())
        if size <= self._room:
            # A copy has no file: some versions of Pillow raise where an opened picture is closed twice.
            picture = self._kept[key] = picture.copy()
            self._room -= size
        return picture


class _Opened(NamedTuple):
    open: object


class _KeptTemplate(NamedTuple):
    """A screenshot template, as the chain takes it, that is decoded once where there is room."""

    template: object
    box: Tuple[int, int, int, int]
    kept: KeptPictures

    def open(self):
        return self.kept.get(self.template, lambda template: template.open())
