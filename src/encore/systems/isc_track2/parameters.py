"""Parameters that several stages of Track 2 share."""

from __future__ import annotations

import dataclasses

from encore.models.isc_network import IscShape
from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.systems.isc_track2.recipe import SYSTEM, TrainingRecipe


def network_shape(path):
    """The section `isc_track2.network` of the parameter file."""
    return read_parameters(path, SYSTEM + ".network", IscShape)


def training_recipe(path):
    """The section `isc_track2.train` of the parameter file, with the shape of `isc_track2.network`."""
    recipe = read_parameters(path, SYSTEM + ".train", TrainingRecipe)
    if recipe.shape != IscShape():
        raise Refusal(
            "{}: isc_track2.train.shape: the network's shape belongs in isc_track2.network".format(path)
        )
    return dataclasses.replace(recipe, shape=network_shape(path))
