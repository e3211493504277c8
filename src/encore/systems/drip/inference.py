"""A trained network from its checkpoint, and the descriptor files of queries with references or with training
pictures (spec drip 6.3)."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace

from encore.data.descriptors import Submission
from encore.runtime.refusal import Refusal
from encore.systems.drip.descriptors_file import (
    QUERY_LETTER,
    REFERENCES,
    TRAINING,
    checkpoint_of,
    open_descriptors,
    write_descriptors,
)
from encore.systems.drip.evaluation import evaluate_descriptors
from encore.systems.drip.extraction import extract
from encore.systems.drip.network import build
from encore.systems.drip.picture_folders import source_identity
from encore.systems.drip.published_checkpoints import STATE, current_names, read_container, restore
from encore.systems.drip.samples import ID_SPACES

LETTERS = QUERY_LETTER + REFERENCES.letter + TRAINING.letter
KERNEL = "criterion.kernel"
"""Key of the ArcFace head in a checkpoint, (numbers of a descriptor, classes)."""


def load_network(shape, path):
    """The DripNetwork of a NetworkShape with the weights of a checkpoint, ours or a published one, without
    its head, in eval mode.

    The number of classes does not matter. Published: the network has a head of 40 classes, so a kernel of
    another shape is left out with a warning, and any other tensor too. Here every kernel is left out, which a
    line on stderr says. Refusal for any other tensor, and for a file that is no checkpoint.
    """
    network, state = build(shape, seed=0), read_container(path)[STATE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restored = restore(network, state, path)
    if restored.kept:
        raise Refusal(
            "{}: {} of {} tensors are missing or of another shape, the first is {}: name the network that "
            "was trained in drip.network".format(
                path, len(restored.kept), len(restored.kept) + len(restored.copied), restored.kept[0]
            )
        )
    kernel = current_names(state).get(KERNEL)
    if kernel is not None:
        print(
            "encore: {}: its kernel of {} classes is left out: descriptors do without it".format(
                path, kernel.shape[-1]
            ),
            file=sys.stderr,
        )
    return network.eval()


class Inference:
    """Descriptor files of the pictures below one folder (SamplePictures) by one network.

    recipe: ExtractionRecipe; work: folder of the chunks, of this network, recipe and these pictures alone.
    width: numbers of a descriptor. checkpoint: SHA-256 of the network's file, which the descriptor files name
    too, or None. All pictures of a kind are described, by number; published are the queries
    0 to 49,999, and 1,000,000 references or training pictures.
    """

    def __init__(self, network, width, pictures, recipe, work, workers=0, device="cpu", checkpoint=None):
        self._network, self._width = network.to(device), width
        self._pictures, self._recipe, self._work = pictures, recipe, work
        self._how = {"workers": workers, "device": device}
        self._checkpoint, self._made = checkpoint, {}

    def described(self, letter):
        """(descriptors as a set of `tiling`, ids) of the pictures of `letter`; Refusal where is none."""
        if letter not in self._made:
            ids, folder = self._pictures.ids(letter), ID_SPACES[letter].folder
            if not len(ids):
                raise Refusal(
                    "{}: no picture in {}: make the resized copies of it first".format(
                        self._pictures.root, folder
                    )
                )
            chunks = extract(
                self._network, self._width, self._pictures, ids, self._recipe, self._work, folder, **self._how
            )
            self._made[letter] = chunks, list(ids)
        return self._made[letter]

    def write(self, path, kind):
        """Write the descriptors of the queries and of `kind` (REFERENCES or TRAINING) to `path` ->
        Submission, with the queries in memory and the others as a set of `tiling`."""
        query, query_ids = self.described(QUERY_LETTER)
        reference, reference_ids = self.described(kind.letter)
        made = Submission(query.read(0, len(query_ids)), reference, query_ids, reference_ids)
        write_descriptors(path, made, kind, self._checkpoint)
        return made

    def write_queries(self, path, kind):
        """Write new queries into the descriptor file `path`, whose references (or training pictures) stay ->
        Submission. As published for the queries of phase 2.

        Refusal, before any work, for a file that names another checkpoint. One that names none, such as a
        published one, is taken with a line on stderr, and names none afterwards.
        """
        made_by = self._maker_of(path)
        query, query_ids = self.described(QUERY_LETTER)
        there = open_descriptors(path, kind)
        made = replace(there, query=query.read(0, len(query_ids)), query_ids=query_ids)
        write_descriptors(path, made, kind, made_by)
        return open_descriptors(path, kind)

    def _maker_of(self, path):
        found = checkpoint_of(path)
        if found is None:
            print(
                "encore: {}: names no checkpoint: whether its rows are of this one is not checked".format(
                    path
                ),
                file=sys.stderr,
            )
        elif self._checkpoint is not None and found != self._checkpoint:
            raise Refusal(
                "{}: made by the checkpoint of SHA-256 {}, this one has {}: leave --keep-references out, or "
                "give that checkpoint".format(path, found, self._checkpoint)
            )
        return found


def pictures_identity(pictures):
    """What the pictures of each kind that is there are (`picture_folders.source_identity`)."""
    folders = [os.path.join(pictures.root, ID_SPACES[letter].folder) for letter in LETTERS]
    return [source_identity(folder) for folder in folders if os.path.isdir(folder)]


def measure(submission, training, truth, normalisation, products):
    """Metrics: the value of a Submission and, where there are `training` descriptors (a set of `tiling`) and
    a TrainingNormalisation, of its queries normalised -> (metrics, {prefix of the names: DescriptorValue}).
    Prints the published line of JSON of each."""
    variants = {"": submission}
    if training is not None and normalisation is not None:
        queries = normalisation.normalised(submission.query, training, products)
        variants["normalised_"] = replace(submission, query=queries)
    metrics, values = {}, {}
    for prefix, variant in variants.items():
        values[prefix] = value = evaluate_descriptors(variant, truth, products)
        print(value.json(), flush=True)
        metrics[prefix + "average_precision"] = value.average_precision
        metrics[prefix + "recall_p90"] = value.recall_p90
    return metrics, values
