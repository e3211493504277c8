"""The original queries that belong to a set of augmented ones."""

from __future__ import annotations

from encore.data.descriptors import descriptor_id
from encore.runtime.refusal import Refusal

WHOLE = "_0"
"""End of the id of an augmented query that is the whole query again (spec isc-track1-test 1.1)."""


class Selection:
    """Some rows of a picture source as a source of its own."""

    def __init__(self, source, rows):
        self.source, self.rows = source, list(rows)
        self.names = [source.names[row] for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def read(self, i):
        return self.source.read(self.rows[i])


def original_queries(queries, augmented):
    """The Selection of the picture source `queries` whose augmented pictures are in the source `augmented`.

    Its order is that of `queries`. Refuses an augmented query that is none of `queries`.
    """
    wanted = {name[: -len(WHOLE)] for name in map(descriptor_id, augmented.names) if name.endswith(WHOLE)}
    rows = [row for row, name in enumerate(queries.names) if descriptor_id(name) in wanted]
    strangers = wanted.difference(descriptor_id(queries.names[row]) for row in rows)
    if strangers or not wanted:
        raise Refusal(
            "expected augmented queries of the original ones, found {} ({} in all): augment "
            "this query set".format(
                min(strangers) + WHOLE if strangers else "none that ends in " + WHOLE, len(strangers)
            )
        )
    return Selection(queries, rows)
