"""All that the result of a training stage depends on."""

from __future__ import annotations

import dataclasses
import json
from typing import NamedTuple

from encore.systems.drip.network import NetworkShape, build
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.stage_data import StageData
from encore.systems.drip.stage_values import PARAMETER_FILE_KEY, DripStageValues
from encore.systems.drip.start_weights import StartWeights


class StageRun(NamedTuple):
    """All that a stage's result depends on."""

    recipe: DripRecipe
    values: DripStageValues
    shape: NetworkShape
    start: StartWeights
    start_digest: str
    """Its digest."""
    data: StageData

    def identity(self):
        """Name -> text of what a resumed run must share: everything but when it stops."""
        values = dict(self.values.recorded(), **{PARAMETER_FILE_KEY: self.start_digest})
        del values["stop"]
        return dict(
            self.recipe.digest(),
            network=json.dumps(dataclasses.asdict(self.shape), sort_keys=True),
            stage=json.dumps(values, sort_keys=True),
            **self.data.identity,
        )

    def disk(self):
        """Bytes that the folder of the stage holds at most, at the end of an epoch: the best checkpoints
        before it, one more that replaces one of them, last.ckpt, the next one being written, and that within
        the epoch, each with both moments of Adam; and W with the chunks that it is put together from."""
        kernel = self.values.classes * self.shape.embedding
        backbone = sum(parameter.numel() for parameter in build(self.shape, self.recipe.seed).parameters())
        return 4 * (3 * (self.recipe.save_top_k + 4) * (kernel + backbone) + 2 * kernel)

    def centroids_made_of(self):
        """Name -> text of what the matrix of centroids depends on."""
        recipe = self.recipe
        return dict(
            self.data.identity,
            weights=self.start_digest,
            network=json.dumps(dataclasses.asdict(self.shape), sort_keys=True),
            intensity=repr(self.values.qry_augs_intensity),
            **{name: str(getattr(recipe, name)) for name in ("seed", "size", "img_norm_type", "text_layout")},
        )
