"""Describes pictures by the network in a file of weights, at one scale or as the mean over several."""

from __future__ import annotations

import numpy as np
import torch

from encore.runtime.atomic import file_digest
from encore.runtime.numerics import exact
from encore.runtime.refusal import Refusal
from encore.search.multi_scale import mean_of_scales
from encore.systems.matching.descriptor_address import descriptor_address
from encore.systems.matching.weights_files import recognised


class Describer:
    """Describes pictures by the network in the file `weights`, at `scales` (None: those it was tested at).

    `sizes`: folders with a params.yaml each, the mini size's first, which say what networks are made of.
    Refusal for a file that is none of the kinds in `weights_files.EXPECTED`.
    """

    def __init__(self, weights, sizes, scales=None, device="cpu"):
        self.weights = weights
        self._model = recognised(weights, sizes)
        self.kind, self.mini, self.width = self._model.kind, self._model.mini, self._model.width
        self.scales = tuple(scales or self._model.scales)
        if min(self.scales) < 8 or len(set(self.scales)) != len(self.scales):
            raise Refusal(
                "--scales: expected different sides of 8 pixels at least, found {}".format(
                    " ".join(map(str, self.scales))
                )
            )
        self._device = torch.device(device)
        self._model.network.to(self._device).eval()
        self.weights_digest = file_digest(weights)
        self.address = descriptor_address(
            self.weights_digest,
            {
                "kind": self.kind,
                "model": self._model.settings,
                "scales": list(self.scales),
                "device": self._device.type,
            },
            self._model.libraries,
        )
        """SHA-256 of everything but the pictures that a descriptor depends on."""

    def views(self, image):
        """[uint8 (3, side, side), one a scale] of a PIL image; RejectedImage where it has none."""
        return [self._model.view(image, side) for side in self.scales]

    def descriptors(self, views):
        """float32 (n, width), L2-normalised, of a list of n `views`: the mean over the scales.

        Refusal for one that is not finite or has no direction.
        """
        found = []
        with torch.no_grad(), exact():
            for pictures in zip(*views):
                pixels = torch.from_numpy(np.stack(pictures)).to(self._device)
                feature = torch.nn.functional.normalize(self._model.feature(pixels).float())
                found.append(feature.cpu().numpy())
        if not all(np.isfinite(vectors).all() for vectors in found):
            raise Refusal(
                "{}: gives descriptors with NaN or infinity: the training has failed, give other "
                "weights".format(self.weights)
            )
        return mean_of_scales(found)
