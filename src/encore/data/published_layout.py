"""The published folder layout of a training set: `<root>/<name>/<name>/<class>_<copy>.jpg`."""

from __future__ import annotations

import os
import re

from encore.data.images import LARGEST_PICTURE
from encore.data.inner_names import is_file_name
from encore.data.shards import ShardSet, ShardWriter, write_manifest
from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal

FILE_NAME = re.compile(r"([0-9]{1,9})_([0-9]{1,9})\.jpg")


def export_folder(data_set, target):
    """Write every image of the data set folder `data_set` as a file into `target` (made if missing).

    Files that are there already with the right size are kept, so an interrupted export goes on.
    Returns the number of files.
    """
    images = ShardSet(data_set)
    strangers = [name for name in images.names if not is_file_name(name)]
    if strangers:
        raise Refusal(
            "{}: expected names of files, found {!r}: such a data set is not written into one folder".format(
                data_set, strangers[0]
            )
        )
    os.makedirs(str(target), exist_ok=True)
    for i, name in enumerate(images.names):
        data, path = images.read(i), os.path.join(str(target), name)
        if not (os.path.isfile(path) and os.path.getsize(path) == len(data)):
            with replacing(path) as file:
                file.write(data)
    return len(images)


def import_folder(source, target, images_per_shard=10000):
    """Pack the files `<class>_<copy>.jpg` of the folder `source` into the data set folder `target`.

    Order: class, then copy, both as numbers. A file of another name is refused by name.
    Returns the Manifest.
    """
    found = []
    with os.scandir(str(source)) as entries:
        for entry in entries:
            match = FILE_NAME.fullmatch(entry.name)
            if not match:
                raise Refusal(
                    "{}: expected names like 12_3.jpg (class_copy): move other files away".format(
                        os.path.join(str(source), entry.name)
                    )
                )
            found.append((int(match.group(1)), int(match.group(2)), entry.name))
    if not found:
        raise Refusal("{}: no images there: expected files named <class>_<copy>.jpg".format(source))
    os.makedirs(str(target), exist_ok=True)
    entries = []
    found.sort()
    for number, start in enumerate(range(0, len(found), images_per_shard)):
        writer = ShardWriter(target, number)
        for class_id, _, name in found[start : start + images_per_shard]:
            writer.add(name, _picture(os.path.join(str(source), name)), class_id)
        entries.append(writer.close())
    return write_manifest(target, entries, recipe_digest="imported")


def _picture(path):
    try:
        return read_bounded(path, LARGEST_PICTURE)
    except OSError as error:
        raise Refusal(
            "{}: cannot be read ({}): expected a picture, mend it or move it away".format(
                path, error.strerror
            )
        ) from None
