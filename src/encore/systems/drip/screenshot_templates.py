"""Screenshots into which training pictures are pasted: pictures and their `bboxes.json` (spec drip 1.6)."""

from __future__ import annotations

import os
from typing import NamedTuple, Tuple

from encore.data.augment.screenshot import ScreenshotTemplate
from encore.data.image_source import open_source
from encore.data.images import RejectedImage, open_image
from encore.data.inner_names import is_file_name
from encore.runtime.atomic import replacing
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal, brief
from encore.systems.drip.samples import ID_SPACES

BOXES = "bboxes.json"
AT_LEAST = 101
"""The published programs stop at 100 templates or fewer, the one that makes descriptors too."""
PUBLISHED_COUNT = 861
"""mobile.png, web.png and 859 queries of phase 1."""


class Templates(NamedTuple):
    """The templates that are there, and the names of those that `bboxes.json` has and the folder lacks."""

    found: Tuple[ScreenshotTemplate, ...]
    """In the order of `bboxes.json`, which is the order that draws choose in."""
    missing: Tuple[str, ...]


def read_templates(folder, at_least=AT_LEAST):
    """The Templates of `folder`.

    Boxes are in pixels of the raw pictures, not of their resized copies. A listed picture that is missing is
    left out, as published, and named in `missing`. Refusal for a missing
    or damaged `bboxes.json`, a box that is none or lies outside its picture, a picture that cannot be opened,
    and fewer than `at_least` templates.
    """
    boxes = _read_boxes(os.path.join(str(folder), BOXES))
    found, missing = [], []
    for name, box in boxes.items():
        path = os.path.join(str(folder), name)
        if os.path.isfile(path):
            _check_place(path, box)
            found.append(ScreenshotTemplate(path, box))
        else:
            missing.append(name)
    if len(found) < at_least:
        raise Refusal(
            "{}: expected at least {} screenshot templates, found {} of {}{}: copy the raw (un-resized) "
            "pictures there".format(
                folder,
                at_least,
                len(found),
                len(boxes),
                ", the first missing is {}".format(missing[0]) if missing else "",
            )
        )
    return Templates(tuple(found), tuple(missing))


def copy_templates(folder, templates, queries=None):
    """Copy `bboxes.json` and the pictures that it names from `templates`, an image source, into `folder`,
    byte for byte; returns the names copied.

    queries: the raw phase 1 queries, an image source from which those that `templates` lacks are taken, as
    the published copy_fb_query_images.py does; None: they stay missing. The published list FB_queries.txt
    names one query more, 6092, which has no box and is never used. Each file appears whole or not at all.
    Refusal, before the first is copied, for a source without `bboxes.json` and a query that `queries` lacks.
    """
    source, boxes = _Files(templates), os.path.join(str(folder), BOXES)
    if BOXES not in source:
        raise Refusal("{}: no {}: put the published file there".format(templates, BOXES))
    os.makedirs(str(folder), exist_ok=True)
    _write(boxes, source.read(BOXES))
    names = list(_read_boxes(boxes))
    origin = {name: source for name in names if name in source}
    if queries is not None:
        raw = _Files(queries)
        for name in names:
            if name not in source and _is_query(name):
                if name not in raw:
                    raise Refusal(
                        "{}: no {}, a screenshot template: add the raw queries".format(queries, name)
                    )
                origin[name] = raw
    for name, files in origin.items():
        _write(os.path.join(str(folder), name), files.read(name))
    return list(origin)


class _Files:
    """The files of an image source by name."""

    def __init__(self, spec):
        self._source = open_source(spec)
        self._places = {name: place for place, name in enumerate(self._source.names)}

    def __contains__(self, name):
        return name in self._places

    def read(self, name):
        return self._source.read(self._places[name])


def _write(path, data):
    with replacing(path) as file:
        file.write(data)


def _is_query(name):
    stem, ending = os.path.splitext(name)
    return ending == ".jpg" and ID_SPACES["Q"].holds(stem)


def _read_boxes(path):
    """Name -> (left, upper, right, lower) in the file's order."""
    try:
        content = read_json_file(path)
    except OSError as error:
        raise Refusal(
            "{}: cannot be read ({}): put the published file there".format(path, error.strerror)
        ) from None
    except ValueError as error:
        raise Refusal("{}: not JSON ({}): copy the published file again".format(path, error)) from None
    if not isinstance(content, dict):
        raise Refusal("{}: expected names and boxes, found {}".format(path, type(content).__name__))
    return {name: _box(path, name, box) for name, box in content.items()}


def _box(path, name, box):
    if (
        is_file_name(name)
        and isinstance(box, list)
        and [type(side) for side in box] == [int] * 4
        and 0 <= box[0] < box[2]
        and 0 <= box[1] < box[3]
    ):
        return tuple(box)
    raise Refusal(
        "{}: {}: expected the name of a file and [left, upper, right, lower] in pixels, found {}".format(
            path, name, brief(box)
        )
    )


def _check_place(path, box):
    try:
        with open_image(path) as image:
            width, height = image.size
    except RejectedImage as error:
        raise Refusal("{}: not a readable picture ({}): copy it again".format(path, error)) from None
    if box[0] >= width or box[1] >= height:
        raise Refusal(
            "{}: the box {} lies outside the picture of {} x {} pixels: copy the raw (un-resized) "
            "picture".format(path, list(box), width, height)
        )
