"""What changes with the iteration: the smallest crop and the learning rate."""

from __future__ import annotations

import math


def smallest_scale(recipe, iteration):
    """Smallest share of a picture that a crop takes in `iteration` (from 0), between recipe.min_scale and 1.

    With a curriculum (CDA) crops are the whole picture at first, and min_scale from the milestone on.
    """
    end, whole = recipe.milestone * recipe.iterations, 1.0 - recipe.min_scale
    if recipe.curriculum is None or iteration >= end:
        return recipe.min_scale
    if recipe.curriculum == "step":
        return 1.0
    if recipe.curriculum == "linear":
        return recipe.min_scale + whole * (1 - iteration / end)
    return recipe.min_scale + whole * (1 + math.cos(math.pi * iteration / end)) / 2


def learning_rate(recipe, iteration):
    """Half a cosine from recipe.learning_rate down; no warm-up, above 0 in the last iteration."""
    return 0.5 * (1 + math.cos(math.pi * iteration / recipe.iterations)) * recipe.learning_rate
