"""Evidence of a count: what was counted, in parts that are added again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from encore.metrics.evidence.archive import encoded

RULES = {"sum": np.sum, "nonzero": np.count_nonzero}


@dataclass(frozen=True, eq=False)
class Counts:
    """`parts`: {name: int (n,)}, e.g. pictures of each class; `numbers`: {key: (rule, name)}, with the rule
    `sum` (all pictures) or `nonzero` (classes that have any)."""

    kind = "counts"

    parts: dict
    numbers: dict

    @classmethod
    def of_labels(cls, labels, images="images", classes=None):
        """Pictures of each class, from the class of each picture, int (n,); `images`, `classes`: keys of the
        metric file (None: not in it)."""
        each = np.bincount(np.asarray(labels, dtype=np.int64))
        numbers = OrderedDict([(images, ("sum", "pictures_of_class"))])
        if classes is not None:
            numbers[classes] = ("nonzero", "pictures_of_class")
        return cls({"pictures_of_class": each}, numbers)

    @classmethod
    def of_sums(cls, parts):
        """{key: what is added up to it, int (n,)}."""
        return cls(parts, OrderedDict((key, ("sum", key)) for key in parts))

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none."""
        numbers = OrderedDict((key, (rule, name)) for key, rule, name in entries.rows("numbers", 3))
        for key, (rule, _) in numbers.items():
            if rule not in RULES:
                raise entries.refusal("numbers", "{}: {} is none of {}".format(key, rule, ", ".join(RULES)))
        return cls({name: entries.integers("part/" + name) for _, name in numbers.values()}, numbers)

    def arrays(self):
        """{name: array} for a file."""
        rows = ["\t".join((key, rule, name)) for key, (rule, name) in self.numbers.items()]
        found = {"part/" + name: np.asarray(values) for name, values in self.parts.items()}
        return dict(found, numbers=encoded(rows))

    def measure(self):
        """{key: int}."""
        return {key: int(RULES[rule](self.parts[name])) for key, (rule, name) in self.numbers.items()}
