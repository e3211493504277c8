"""The files of a match: predictions in the competition's format with file names as ids, and what was left
out."""

from __future__ import annotations

import os
import re

from encore.metrics.predictions import write_predictions
from encore.runtime.atomic import write_json

ESCAPED = re.compile('[%,"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\udc80-\udcff]')
"""What a CSV file of ids without quotes cannot hold, what ends a line for some reader, bytes that are no
UTF-8, and the sign of an escape itself."""


def id_of(name):
    """The id of a picture, text: its name (bytes), relative to the folder, with %2C for a comma and so on.

    The name is what `urllib.parse.unquote_to_bytes` makes of it, and different names have different ids.
    """
    text = name.decode("utf-8", "surrogateescape")
    return ESCAPED.sub(_escape, text)


def _escape(match):
    return "".join("%{:02X}".format(byte) for byte in match.group().encode("utf-8", "surrogateescape"))


def write_matches(path, matches, queries, references):
    """Write the pairs of Matches as query_id,reference_id,score, the best first, with exact scores.

    `queries`, `references`: (PictureListing, its KeptDescriptors). Gives back how many queries are listed.
    """
    ids = [
        _ids(listing.names, kept.places[numbers])
        for (listing, kept), numbers in (
            (queries, matches.pairs.query),
            (references, matches.pairs.reference),
        )
    ]
    write_predictions(path, ids[0], ids[1], matches.pairs.score)
    return len(set(ids[0]))


def _ids(names, places):
    known = {}
    return [known.get(place) or known.setdefault(place, id_of(names[place])) for place in places.tolist()]


def write_rejected(path, sides):
    """Write the pictures left out as a JSON list of {folder, name, reason}; `sides`: name -> (PictureListing,
    its KeptDescriptors)."""
    write_json(
        path,
        [
            {"folder": side, "name": id_of(listing.names[row]), "reason": reason}
            for side, (listing, kept) in sides.items()
            for row, reason in kept.rejected
        ],
    )


def folder_text(folder):
    """The path of a folder, bytes, as text that a JSON file holds; see id_of."""
    return id_of(os.fsencode(folder))
