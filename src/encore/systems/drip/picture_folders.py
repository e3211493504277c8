"""All pictures of a run in one folder: resized copies, class orders and screenshot templates.

Beside the five data sets and the ground truth (`resized_copies`): ids/imagenet.txt and ids/faces.txt, in what
order these pictures become classes, and templates/ with `bboxes.json` and the screenshots.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Optional

import numpy as np

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
