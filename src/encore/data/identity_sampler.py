"""Order of a training pass: a few images of every identity, identities in random order."""

from __future__ import annotations

import random

import numpy as np
import torch


class SamplerDraws:
    """The three random generators that the published sampler draws from, each passed in by its owner."""

    def __init__(self, permutation: torch.Generator, anchor: random.Random, gallery: np.random.RandomState):
        self.permutation = permutation
        self.anchor = anchor
        self.gallery = gallery

    @classmethod
    def seeded(cls, seed):
        """All three seeded alike; numpy's takes the seed modulo 2^32."""
        return cls(
            torch.Generator().manual_seed(seed), random.Random(seed), np.random.RandomState(seed % 2**32)
        )


class IdentitySampler:
    """RandomMultipleGallerySampler as published: `instances` images of every identity, one after the other.

    labels: int (n,), 0 ... identities - 1. Per identity one anchor is drawn, then instances - 1 of its other
    images: without replacement where there are at least `instances` others, else with. Published quirk, kept:
    an identity with one image gives that one alone, which shifts the groups of all that follow.
    """

    def __init__(self, labels, instances):
        labels = np.asarray(labels)
        by_label = np.argsort(labels, kind="stable")
        borders = np.searchsorted(labels[by_label], np.arange(labels.max() + 2))
        self._images = [by_label[start:stop] for start, stop in zip(borders[:-1], borders[1:])]
        self.instances = instances

    def __len__(self):
        """Number of indices that the published sampler says a pass has (identities with one image give
        fewer)."""
        return len(self._images) * self.instances

    def order(self, draws: SamplerDraws):
        """Indices of one pass, int64 (m,)."""
        chosen = []
        for identity in torch.randperm(len(self._images), generator=draws.permutation).tolist():
            chosen.extend(self._gallery(self._images[identity], draws))
        return np.asarray(chosen, np.int64)

    def _gallery(self, images, draws):
        anchor = draws.anchor.choice(range(len(images)))
        others = np.delete(np.arange(len(images)), anchor)
        if not len(others):
            return [images[anchor]]
        scarce = len(others) < self.instances
        picked = draws.gallery.choice(others, size=self.instances - 1, replace=scarce)
        return [images[anchor]] + [images[position] for position in picked]
