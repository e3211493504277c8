"""All pictures of a run in one folder: resized copies, class orders and screenshot templates.

Beside the five data sets and the ground truth (`resized_copies`): ids/imagenet.txt and ids/faces.txt, in what
order these pictures become classes, and templates/ with `bboxes.json` and the screenshots.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import Optional

import numpy as np

from encore.data.manifest import NAME, Manifest
from encore.data.shards import ShardSet
from encore.runtime.parameters import limited
from encore.systems.drip.resized_copies import ResizedCopyParameters, write_resized_copies
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.samples import ID_SPACES, read_id_list, seeded_order, write_id_list
from encore.systems.drip.screenshot_templates import AT_LEAST, copy_templates, read_templates

FOLDER = "data/drip/pictures"
ORDERS = {"I": "ids/imagenet.txt", "F": "ids/faces.txt"}
"""Letter -> the id list below the folder (`samples.read_id_list`)."""
TEMPLATES = "templates"
"""Below the folder, for `screenshot_templates.read_templates`."""


@dataclass(frozen=True)
class PictureParameters(ResizedCopyParameters):
    """Parameters of the stage `pictures`."""

    templates: str = "raw/FB_page_qry"
    """Where `bboxes.json` and its screenshots are: a folder, or file.tar#prefix."""
    template_queries: Optional[str] = limited(None)
    """Raw (un-resized) queries of phase 1, from which screenshots that `templates` lacks are taken."""
    templates_at_least: int = limited(AT_LEAST, low=1)
    """Published: more than 100, or nothing starts, the program that makes descriptors neither."""
    imagenet_order: Optional[str] = limited(None)
    """The published ImageNet_samples_v.pickle; null: a seeded order."""
    face_order: Optional[str] = limited(None)
    """The published FrameFaces_samples_v.pickle; null: a seeded order."""
    order_seed: int = limited(0, low=0)

    def copies(self):
        """What the data sets depend on."""
        own = ("templates", "template_queries", "templates_at_least")
        own += ("imagenet_order", "face_order", "order_seed")
        return {key: value for key, value in self.recipe().items() if key not in own}

    def expected_bytes(self):
        """About what a copied picture needs on the disk: photographs of 384 pixels take some 40 KB."""
        return 2048 + 3 * self.size**2 // 10


def write_pictures(folder, parameters, digest):
    """Write all into `folder`; returns the counts as {name: number}.

    digest: of what the data sets are made of (`copies` and the inputs). A run that was killed goes on with
    the shard it was at; orders and templates are made again, they take seconds. Refusal as
    write_resized_copies, copy_templates and read_templates, and for a given order that names a picture which
    is not there.
    """
    folder = str(folder)
    shutil.rmtree(os.path.join(folder, TEMPLATES), ignore_errors=True)
    copy_templates(os.path.join(folder, TEMPLATES), parameters.templates, parameters.template_queries)
    templates = read_templates(os.path.join(folder, TEMPLATES), parameters.templates_at_least)
    manifests = write_resized_copies(folder, parameters, digest)
    for letter, path in (("I", parameters.imagenet_order), ("F", parameters.face_order)):
        target = os.path.join(folder, ORDERS[letter])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        write_id_list(target, class_order(folder, letter, path, parameters.order_seed))
    counts = {name: manifest.count for name, manifest in manifests.items()}
    counts.update(
        templates=len(templates.found),
        missing_templates=len(templates.missing),
        bytes=sum(manifest.bytes for manifest in manifests.values()),
    )
    return counts


def class_order(folder, letter, path, seed):
    """The SampleIds of the list at `path`; None: of all pictures of `letter` below `folder`, shuffled.

    A list may leave pictures out; Refusal where it names one that is not there.
    """
    if path is None:
        numbers = np.sort(ShardSet(os.path.join(folder, ID_SPACES[letter].folder)).labels)
        return seeded_order(letter, numbers, seed)
    ids = read_id_list(path, letter)
    SamplePictures(folder).require(ids)
    return ids


def source_identity(spec):
    """What the pictures at `spec` (as `open_source` takes it) are, as 64 hex digits: the digest of a data
    set; of a plain folder or a tar, SHA-256 over names, sizes and times of change.

    A folder is scanned once and no picture is read. Hidden files and folders in it do not count.
    """
    path, _, prefix = str(spec).partition("#")
    if os.path.isfile(os.path.join(path, NAME)):
        return Manifest.read(path).digest
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            lines = [
                _state(entry.name, entry.stat())
                for entry in entries
                if not entry.name.startswith(".") and entry.is_file()
            ]
    else:
        lines = [_state(prefix, os.stat(path))]
    total = hashlib.sha256()
    for line in sorted(lines):
        total.update(line)
    return total.hexdigest()


def _state(name, status):
    return os.fsencode(name) + b" %d %d\n" % (status.st_size, status.st_mtime_ns)
