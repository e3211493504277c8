"""The published lists of augmented pictures (spec isc-track1-test 1.1, 1.2).

The published scripts append to a list that is there; here it is written anew, so that no old name stays.
"""

from __future__ import annotations

import os

from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1.reference_parts import PARTS, REFERENCE_FOLDER

QUERY_LIST = "dev_queries_exp_VD"


def write_query_list(path, names):
    """Write the names of the augmented queries: sorted, without `.jpg`, one a line, no newline at the end."""
    _write(path, (name[: -len(".jpg")] for name in sorted(names)))


def write_reference_list(path, root):
    """Write the full paths of all parts below the folder `root`, no newline at the end; returns how many.

    Folders and files in string order: _0, _1, _10 … _18, _2. Only the 19 numbered folders count; the
    published script also takes `reference_images_exp_face` in, if faces were searched before. Refusal for a
    missing folder, and for folders that hold different numbers of files.
    """
    root, lines, counts = os.path.abspath(str(root)), [], {}
    for name in sorted(REFERENCE_FOLDER.format(part) for part in range(PARTS)):
        folder = os.path.join(root, name)
        if not os.path.isdir(folder):
            raise Refusal("{}: no such folder: divide the references first".format(folder))
        files = sorted(os.listdir(folder))
        counts[len(files)] = folder
        lines.extend(os.path.join(folder, file) for file in files)
    if len(counts) != 1:
        (few, fewer), *_, (many, more) = sorted(counts.items())
        raise Refusal(
            "{}: {} files, {} holds {}: divide the references to the end first".format(fewer, few, more, many)
        )
    _write(path, lines)
    return len(lines)


def _write(path, lines):
    with replacing(path, "w") as file:
        file.write("\n".join(lines))
