"""A training stage by hand: what flags, configuration and defaults come to."""

from __future__ import annotations

import os
from typing import NamedTuple, Tuple

from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.drip.model_config import NO_CONFIG, STAGE, read_model_config
from encore.systems.drip.network import NetworkShape
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.stage_data import Places
from encore.systems.drip.stage_outputs import last_checkpoint
from encore.systems.drip.stage_values import PARAMETER_FILE_KEY, DripStageValues, stage_of
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.train_flags import section

PIPELINE = "models/drip"
"""Where stages of the pipeline lie, by name."""


class ManualParts(NamedTuple):
    """What a run by hand is made of."""

    recipe: DripRecipe
    values: DripStageValues
    shape: NetworkShape
    start: StartWeights
    places: Places
    warnings: Tuple[str, ...] = ()
    """One line for each value of the configuration that a flag overwrites."""


def manual_parts(chosen):
    """The ManualParts of typed flags, key -> value.

    Flags win over the configuration, and that over defaults. Published quirk: of what the published trainer
    has a flag for, the flag's default wins over the configuration too. Refusal, naming file and key, for what
    does not fit.
    """
    path = chosen.get("model_config")
    config = read_model_config(path) if path else NO_CONFIG
    where = "flags" if path is None else "flags and {}".format(path)
    recipe = from_mapping(DripRecipe, dict(config.recipe, **section(chosen, "recipe")), where)
    shape = from_mapping(NetworkShape, config.network, where)
    places = from_mapping(Places, config.places, where)
    stage = dict(section(chosen, "stage"), stop=section(chosen, "stop"))
    before = chosen.get("build_w_matrix")
    if before is not None:
        stage[PARAMETER_FILE_KEY] = before
        start = StartWeights(checkpoint_of(before), False)
    else:
        start = StartWeights() if config.pretrained else StartWeights(None)
    values = stage_of(stage, where)
    return ManualParts(recipe, values, shape, start, places, _overwritten(path, config, values, before))


def _overwritten(path, config, values, before):
    own = [(name, config.stage.get(key), getattr(values, key)) for name, key in STAGE.items()]
    own += [
        ("start_ckpt", config.start_ckpt, before),
        ("build_w_matrix", config.build_w_matrix or None, before),
    ]
    return tuple(
        "{}: {} {!r}: the flag's {!r} wins, as in the published trainer".format(path, name, said, found)
        for name, said, found in own
        if said is not None and said != found
    )


def checkpoint_of(text):
    """The path of the checkpoint that --build-w-matrix names: the file itself, or the newest last.ckpt of a
    stage by its folder or its name in the pipeline. Refusal where there is none."""
    if os.path.isfile(text):
        return text
    for folder in (text, os.path.join(PIPELINE, text)):
        if os.path.isdir(folder):
            return last_checkpoint(folder)
    raise Refusal(
        "--build-w-matrix {}: neither a checkpoint nor the folder or name of a stage: train it first, or "
        "mend the path".format(text)
    )
