"""Parameters that several stages of a track share."""

from __future__ import annotations

import dataclasses

from encore.models.isc_network import IscShape
from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.systems.isc.recipe import TrainingRecipe


def network_shape(path, system):
    """The section `<system>.network` of the parameter file."""
    return read_parameters(path, system + ".network", IscShape)


def training_recipe(path, system):
    """The section `<system>.train` of the parameter file, with the shape of `<system>.network`."""
    recipe = read_parameters(path, system + ".train", TrainingRecipe)
    if recipe.shape != IscShape():
        raise Refusal(
            "{}: {}.train.shape: the network's shape belongs in {}.network".format(path, system, system)
        )
    return dataclasses.replace(recipe, shape=network_shape(path, system), system=system)
