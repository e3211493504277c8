"""Which models the test of Track 1 joins, at which scales (spec isc-track1-test 2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.backbones import backbone_of
from encore.systems.isc_track1.data_sets import PAIR, data_set_of
from encore.systems.isc_track1.groups import group_of, models_of

MULTI_PART = "baseline_CC"
"""The only models that also meet references in 19 parts."""


@dataclass(frozen=True)
class TestPlan:
    """The section `isc_track1.test`."""

    __test__ = False

    tags: Tuple[str, ...] = limited()
    """Published: the tags of all 11 training sets."""
    pair_tags: Tuple[str, ...] = limited()
    """Models of the second submission; published: baseline_CC_pair."""
    backbones: Tuple[str, ...] = limited()
    """Published: 50, 152, ibn (as text)."""
    groups: Tuple[str, ...] = limited()
    """What one process extracts and normalises: ["all"], or "<tag>-<backbone>" for every model."""
    scales: Tuple[int, ...] = limited(low=8, high=4096)
    """Sides in pixels of the squares that pictures are resized to; published: 256, 200, 320."""
    multi_part_scale: int = limited(low=8, high=4096)
    """The one of `scales` at which pair models and references in parts are extracted; published: 256."""

    def __post_init__(self):
        for key in ("tags", "backbones", "groups", "scales"):
            if not getattr(self, key):
                raise Refusal("{}: expected at least one entry, found none".format(key))
        for key in ("tags", "pair_tags", "backbones", "groups", "scales"):
            _refuse_repeated(key, getattr(self, key))
        self._check_names()
        if self.multi_part_scale not in self.scales:
            raise Refusal(
                "multi_part_scale: expected one of scales ({}), found {}".format(
                    ", ".join(map(str, self.scales)), self.multi_part_scale
                )
            )
        for group in self.groups:
            self.models(group)
        for model in self.models():
            _named("groups", group_of, *(model + (self.groups,)))

    def _check_names(self):
        for key, pairs in (("tags", False), ("pair_tags", True)):
            for tag in getattr(self, key):
                _named(key, data_set_of, tag)
                if tag.endswith(PAIR) != pairs:
                    raise Refusal("{}: {}: tags that end in {} belong in pair_tags".format(key, tag, PAIR))
        for backbone in self.backbones:
            _named("backbones", backbone_of, backbone)

    def models(self, group=None):
        """The models of one group (all: None) as a list of (tag, backbone), pair models last."""
        tags = self.tags + self.pair_tags
        if group is None:
            return [(tag, backbone) for tag in tags for backbone in self.backbones]
        return _named("groups", models_of, group, tags, self.backbones)

    def group(self, tag, backbone):
        """The group that a model belongs to."""
        return group_of(tag, backbone, self.groups)

    def scales_of(self, tag):
        """The scales of a tag's models: all; of pair models the one of the references in parts."""
        return (self.multi_part_scale,) if tag in self.pair_tags else self.scales


def _refuse_repeated(key, entries):
    repeated = sorted({str(entry) for entry in entries if entries.count(entry) > 1})
    if repeated:
        raise Refusal("{}: expected every entry once, found {} again".format(key, repeated[0]))


def _named(key, check, *arguments):
    """`check(*arguments)`; its Refusal names the key."""
    try:
        return check(*arguments)
    except Refusal as refusal:
        raise Refusal("{}: {}".format(key, refusal)) from None
