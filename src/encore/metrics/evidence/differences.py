"""Evidence of a difference of two numbers that other evidence gives: where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from encore.metrics.evidence.archive import encoded

HERE = ""
"""The file itself, among its other parts."""


class Difference(NamedTuple):
    """`key` = `of_key` of the evidence `of` minus `less_key` of the evidence `less`: paths of evidence files,
    seen from the folder of this one, with / between; or HERE."""

    key: str
    of: str
    of_key: str
    less: str
    less_key: str


@dataclass(frozen=True, eq=False)
class Differences:
    """`rows`: Differences; names only, nothing is evaluated."""

    kind = "differences"

    rows: tuple

    @classmethod
    def read(cls, entries):
        """The evidence in the Entries of a file; Refusal where they are none, and for a path that leads out
        of the file's folder."""
        rows = tuple(Difference(*row) for row in entries.rows("rows", 5))
        for row in rows:
            for path in (row.of, row.less):
                if path.startswith("/") or ".." in path.split("/"):
                    raise entries.refusal("rows", "{}: {} leads out of its folder".format(row.key, path))
        return cls(rows)

    def arrays(self):
        """{name: array} for a file."""
        return {"rows": encoded(["\t".join(row) for row in self.rows])}

    def measure(self, number_of):
        """{key: number}; number_of(file, key): a number of other evidence."""
        return {
            row.key: number_of(row.of, row.of_key) - number_of(row.less, row.less_key) for row in self.rows
        }

    def bootstrap(self, sides_of):
        """{key: float64 (draws,)}; sides_of(Difference): the draws of both sides, drawn alike, or None where
        there are no such, and then the difference has none."""
        found = {}
        for row in self.rows:
            sides = sides_of(row)
            if sides is not None:
                found[row.key] = sides[0] - sides[1]
        return found
