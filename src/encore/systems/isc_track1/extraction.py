"""Descriptors of Track 1's models: the wide head's embedding, PCA-whitened and L2-normalised (spec
isc-track1-test 2)."""

from __future__ import annotations

import dataclasses
import os
import shutil
from typing import Any, NamedTuple, Optional

import numpy as np

from encore.data.descriptors import chunk_files
from encore.data.faiss_transform import pca_file_bytes, read_pca, write_pca
from encore.data.image_source import open_source
from encore.runtime.atomic import replacing
from encore.runtime.parameters import limited
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units
from encore.runtime.unit_needs import DEVICE
from encore.search.pca_whitening import train_pca
from encore.systems.isc.extraction import ExtractionRecipe
from encore.systems.isc.prepared_pictures import Preparation
from encore.systems.isc_track1 import descriptor_files as files
from encore.systems.isc_track1.data_sets import data_set_of
from encore.systems.isc_track1.original_queries import original_queries
from encore.systems.isc_track1.reference_parts import ReferenceParts
from encore.systems.isc_track1.test_plan import MULTI_PART

PICK_SEED = 123
"""Published seed of the choice of pictures that the whitening is trained on."""
NAME_BYTES = 64
"""What a row needs on disk beside its vector, at most: the picture's name."""


@dataclasses.dataclass(frozen=True)
class PcaParameters:
    """The PCA whitening; the defaults are the published values."""

    dimensions: int = limited(1500, low=1)
    images: int = limited(20000, low=1)
    """Training pictures that it is trained on."""

    def __post_init__(self):
        if self.images < self.dimensions:
            raise Refusal(
                "pca.images: expected at least as many as dimensions ({}), found {}".format(
                    self.dimensions, self.images
                )
            )


@dataclasses.dataclass(frozen=True)
class ExtractParameters:
    """Parameters of the stage `extract`; defaults are the published values."""

    training: str = limited()
    references: str = limited()
    queries: str = limited()
    """The augmented queries."""
    original_queries: str = limited()
    """The query set that those were made of; only the queries that are among them are extracted."""
    pca: PcaParameters = PcaParameters()
    batch_size: int = limited(500, low=1)
    batches_per_chunk: int = limited(100, low=1)
    gem_exponent: Optional[float] = limited(3.0, low=0.0, high=100.0)
    jpeg_roundtrip: bool = limited(True)
    """Whether a part of a reference passes the JPEG encoder, as the published part files did."""
    workers: int = limited(20, low=0, high=1024)
    keep_bytes: int = limited(0, low=0)
    """Memory for prepared pictures, so that the next model of the group need not read them again."""

    def recipe(self, plan):
        """The ExtractionRecipe at the scales of `plan`."""
        return ExtractionRecipe(plan.scales, self.batch_size, self.batches_per_chunk, self.gem_exponent)

    def deciding(self):
        """What decides the result: everything but how the work is done."""
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if key not in ("workers", "keep_bytes")}


class PictureSet(NamedTuple):
    """A source of pictures and the folder that their names are written under."""

    images: Any
    folder: str


class Sources(NamedTuple):
    """The PictureSets of one run."""

    training: PictureSet
    references: PictureSet
    queries: PictureSet
    original_queries: PictureSet
    parts: PictureSet

    @property
    def counts(self):
        """Pictures in each set."""
        return {name: len(pictures.images) for name, pictures in zip(self._fields, self)}


def open_sources(parameters):
    """The Sources that ExtractParameters name; Refusal where they cannot serve together."""
    training, references, queries, originals = (
        PictureSet(open_source(folder), folder)
        for folder in (
            parameters.training,
            parameters.references,
            parameters.queries,
            parameters.original_queries,
        )
    )
    chosen_for_pca(len(training.images), parameters.pca.images)
    return Sources(
        training,
        references,
        queries,
        PictureSet(original_queries(originals.images, queries.images), originals.folder),
        PictureSet(ReferenceParts(references.images, parameters.jpeg_roundtrip), references.folder),
    )


def preparations(tag, scale):
    """(of training pictures and references, of queries) for the models of `tag`.

    Published quirk: the queries of blurred sets are not blurred.
    """
    data_set = data_set_of(tag)
    return Preparation(scale, data_set.blurred, data_set.grey), Preparation(scale, grey=data_set.grey)


def extract_model(extractor, tag, backbone, plan, pca, sources, folder):
    """Write the descriptors of one model at all its scales into `folder`, in the published files.

    extractor: of the model's network, with head "embedding". pca: PcaParameters. What a killed run of the
    same work has finished is kept.
    """
    for scale in plan.scales_of(tag):
        place = os.path.join(folder, files.model_folder(tag, backbone, scale))
        os.makedirs(place, exist_ok=True)
        known, asked = preparations(tag, scale)
        extractor.whiten_by(_whitening(extractor, sources.training.images, known, pca, place))
        for pictures, preparation, name in (
            (sources.training, known, files.TRAIN),
            (sources.references, known, files.REFERENCES),
            (sources.queries, asked, files.AUGMENTED_QUERIES),
        ):
            _extract(extractor, pictures, preparation, place, name)
        if tag == MULTI_PART and scale == plan.multi_part_scale:
            _extract_parts(extractor, backbone, scale, sources, folder)


def _extract_parts(extractor, backbone, scale, sources, folder):
    """References in parts and original queries, in a folder of their own with its own PCA and training files.

    The published scripts compute those two again; with the same weights and pictures they are the same.
    """
    model = os.path.join(folder, files.model_folder(MULTI_PART, backbone, scale))
    place = os.path.join(folder, files.model_folder(files.MULTI_PART_FOLDER, backbone, scale))
    os.makedirs(place, exist_ok=True)
    for path in [os.path.join(model, files.PCA)] + chunk_files(os.path.join(model, files.TRAIN)):
        with open(path, "rb") as made, replacing(os.path.join(place, os.path.basename(path))) as copy:
            shutil.copyfileobj(made, copy, 1 << 22)
    known, asked = preparations(MULTI_PART, scale)
    _extract(extractor, sources.parts, known, place, files.PARTS)
    _extract(extractor, sources.original_queries, asked, place, files.ORIGINAL_QUERIES)


def _extract(extractor, pictures, preparation, place, name):
    extractor.to_files(pictures.images, preparation, os.path.join(place, name), pictures.folder)


def _whitening(extractor, training, preparation, pca, place):
    """The PcaMatrix of this network at this scale: from `place` where it is there, else trained and
    written."""
    path = os.path.join(place, files.PCA)

    def make_worker():
        def write(path):
            rows = chosen_for_pca(len(training), pca.images)
            features = extractor.features(training, rows, preparation)
            write_pca(path, train_pca(features, pca.dimensions, names=[training.names[row] for row in rows]))

        return write

    if not os.path.exists(path):
        list(map_units(make_worker, [path], 1, DEVICE, [place]))
    return read_pca(path)


def chosen_for_pca(count, images):
    """Rows of the `images` of `count` training pictures that the PCA is trained on: int64 (images,)."""
    if images > count:
        raise Refusal(
            "pca.images: expected at most the {} training pictures there are, found {}".format(count, images)
        )
    return np.random.RandomState(PICK_SEED).choice(count, size=images, replace=False)


def disk_bytes(models, plan, parameters, counts, widths):
    """Bytes that the descriptor files of `models` [(tag, backbone)] need at most.

    counts: as Sources has them; widths: numbers in the embedding, by backbone.
    """
    dimensions = parameters.pca.dimensions
    row = 4 * dimensions + NAME_BYTES
    total = 0
    for tag, backbone in models:
        pca = pca_file_bytes(widths[backbone], dimensions, parameters.pca.images)
        rows = counts["training"] + counts["references"] + counts["queries"]
        total += len(plan.scales_of(tag)) * (pca + row * rows)
        if tag == MULTI_PART:
            total += pca + row * (counts["training"] + counts["parts"] + counts["original_queries"])
    return total
