"""The weights that a stage starts from, and what they are."""

from __future__ import annotations

import os
import sys
import warnings
from typing import NamedTuple, Optional

from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal
from encore.systems.drip.backbone_start import FILE
from encore.systems.drip.class_shares import KERNEL
from encore.systems.drip.network import load_backbone
from encore.systems.drip.published_checkpoints import HEAD, STATE, read_container, restore


class StartWeights(NamedTuple):
    """A file of weights; `path` None: none, the initial ones stay."""

    path: Optional[str] = FILE
    is_backbone: bool = True
    """The pretrained backbone alone; otherwise a checkpoint of the stage before."""

    def digest(self):
        """SHA-256 of the file, "none" without one; Refusal where it is missing."""
        if self.path is None:
            return "none"
        if not os.path.isfile(self.path):
            what = "the stage start makes it" if self.is_backbone else "train that stage first"
            raise Refusal("{}: no such file: {}".format(self.path, what))
        return file_digest(self.path)

    def load(self, network):
        """Load the file into `network` (DripNetwork), in place; its kernel stays as it is.

        Of a checkpoint every tensor of equal shape is taken, as published; one that does not fit is named on
        stderr, and so is another number of classes, by the first process of a run. Published quirk, not kept:
        the kernel of as many classes is taken too, although they are other ones; there the centroids replace
        it in any case.
        """
        if self.path is None:
            return
        if self.is_backbone:
            load_backbone(network, self.path)
            return
        whole = read_container(self.path)[STATE]
        state = {key: value for key, value in whole.items() if HEAD not in key}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = restore(network, state, self.path).kept
        if network.criterion.processes.rank:
            return
        for key in kept:
            if HEAD not in key:
                print("encore: warning: {}: {} does not fit".format(self.path, key), file=sys.stderr)
        found, classes = whole.get(KERNEL), network.criterion.classes
        if found is not None and found.shape[1] != classes:
            print(
                "encore: {}: of {} classes, this stage has {}: its kernel is not taken".format(
                    self.path, found.shape[1], classes
                ),
                file=sys.stderr,
            )
