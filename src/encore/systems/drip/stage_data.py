"""The pictures of one training stage: which are classes, which are pasted on them, and their views."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import NamedTuple, Optional

from encore.data.augment.drip_assets import DripAssets
from encore.runtime.atomic import file_digest
from encore.systems.drip.class_views import build_views
from encore.systems.drip.picture_folders import FOLDER, ORDERS, TEMPLATES, source_identity
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.samples import ID_SPACES, TrainingSamples, read_id_list, training_samples
from encore.systems.drip.screenshot_templates import read_templates
from encore.systems.drip.view_batches import ViewBatches


@dataclass(frozen=True)
class Places:
    """Where a stage's pictures lie."""

    pictures: str = FOLDER
    """What the stage `pictures` wrote, or the resized copies of the published program."""
    imagenet_ids: Optional[str] = None
    """List of the ImageNet pictures in the order of classes; None: that beside the pictures."""
    face_ids: Optional[str] = None
    templates: Optional[str] = None
    """Folder of the screenshots; None: that beside the pictures."""
    templates_at_least: int = 1
    """The stage `pictures` has counted them already."""

    def id_list(self, letter):
        """Path of the list of pictures of `letter`, I or F."""
        given = {"I": self.imagenet_ids, "F": self.face_ids}[letter]
        return given or os.path.join(self.pictures, ORDERS[letter])

    @property
    def template_folder(self):
        return self.templates or os.path.join(self.pictures, TEMPLATES)


class StageData(NamedTuple):
    """What a stage trains on."""

    samples: TrainingSamples
    batches: ViewBatches
    identity: dict
    """Name -> digest of all that decides on a view besides the stage's values and the recipe's."""


def open_stage_data(values, recipe, places):
    """The StageData of DripStageValues and a DripRecipe at `places` (Places).

    Refusal, before any work, for too few pictures of a kind, for one that is missing, for templates or lists
    of ids that cannot be read, and where the assets of AugLy are not installed.
    """
    pictures = SamplePictures(places.pictures)
    faces = values.n_frm_face_samples
    samples = training_samples(
        values.n_facebook_samples,
        values.n_imagenet_samples,
        faces,
        pictures.count("T"),
        read_id_list(places.id_list("I"), "I"),
        read_id_list(places.id_list("F"), "F") if faces else (),
    )
    templates = read_templates(places.template_folder, places.templates_at_least).found
    assets = DripAssets(recipe.text_layout)
    views = build_views(
        samples,
        places.pictures,
        assets,
        templates,
        values.qry_augs_intensity,
        recipe.img_norm_type,
        recipe.size,
        recipe.keep_bytes,
    )
    letters = "TI" + ("F" if faces else "")
    identity = {
        "classes": samples.classes.digest,
        "overlay_pool": samples.overlay_pool.digest,
        "pictures": _digest(
            source_identity(os.path.join(places.pictures, ID_SPACES[letter].folder)) for letter in letters
        ),
        "templates": _digest(
            "{} {} {}".format(os.path.basename(template.path), template.box, file_digest(template.path))
            for template in templates
        ),
        "assets": assets.digest(),
    }
    return StageData(samples, ViewBatches(views, recipe.seed, values.batch_size), identity)


def _digest(texts):
    return hashlib.sha256("".join(text + "\n" for text in texts).encode("utf-8")).hexdigest()
