"""Groups of models that one process extracts and normalises: all of them, or one each (spec 2.5, 6)."""

from __future__ import annotations

import os

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.backbones import weights_name

STRIPPED = "models/isc_track1/stripped"
ALL = "all"
"""The group of every model, for small sizes."""


def group_name(tag, backbone):
    """The group of one model alone: baseline_CC, 50 -> baseline_CC-50."""
    return "{}-{}".format(tag, backbone)


def models_of(group, tags, backbones):
    """The models of `group` as a list of (tag, backbone), tag by tag; Refusal for another name than "all" or
    "<tag>-<backbone>"."""
    models = [(tag, backbone) for tag in tags for backbone in backbones]
    if group == ALL:
        return models
    own = [model for model in models if group_name(*model) == group]
    if not own:
        raise Refusal(
            "group {}: expected {}, or tag-backbone with a tag of {} and a backbone of {}".format(
                group, ALL, ", ".join(tags) or "(none)", ", ".join(backbones) or "(none)"
            )
        )
    return own


def group_of(tag, backbone, groups):
    """The one of `groups` that the model belongs to; Refusal where none or several do."""
    own = [group for group in groups if group in (ALL, group_name(tag, backbone))]
    if len(own) != 1:
        raise Refusal(
            "model {}: expected exactly one of the groups {} or {}, found {}".format(
                group_name(tag, backbone), ALL, group_name(tag, backbone), ", ".join(own) or "none"
            )
        )
    return own[0]


def weights_path(tag, backbone, groups):
    """Where a model's stripped weights lie, so that a group's lie in the folder of its name."""
    parts = [STRIPPED] + ([ALL] if ALL in groups else []) + [group_name(tag, backbone)]
    return os.path.join(*(parts + [weights_name(tag, backbone)]))
