"""The lists of the best pairs by normalised score, for every model and scale (spec isc-track1-test 3).

Forward: augmented queries against original references. Reverse, with the multi-part models only: parts of
references against original queries, with the norms of the original queries; as published the CSV column
query_id holds the part of a reference and reference_id the query.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import NamedTuple

import numpy as np

from encore.data.descriptor_rows import DescriptorRows
from encore.metrics.predictions import write_numbered_predictions
from encore.runtime.atomic import file_digest, replacing, write_json
from encore.runtime.parameters import limited, recipe_digest
from encore.runtime.refusal import Refusal
from encore.search.score_normalisation import ScoreNormalisation, normalised_pairs
from encore.systems.isc_track1 import descriptor_files as files
from encore.systems.isc_track1.descriptor_files import model_folder
from encore.systems.isc_track1.submission import PART_LIST, scale_folder
from encore.systems.isc_track1.submission import QUERY_LIST as FORWARD_LIST
from encore.systems.isc_track1.test_plan import MULTI_PART


@dataclasses.dataclass(frozen=True)
class NormaliseParameters:
    """The section `isc_track1.normalise`; defaults: the values of the published runs."""

    factor: float = limited(2.0, low=-100.0, high=100.0)
    neighbours: int = limited(10, low=1)
    reduction: str = limited("avg", choices=("avg", "min"))
    max_results: int = limited(1000000, low=1)

    def normalisation(self):
        return ScoreNormalisation(self.neighbours, self.factor, self.reduction)


class SearchedSets(NamedTuple):
    """One list: `folder` of its descriptor files below the group's, its CSV file `output`, and which files
    hold its two sides. `norms_of`: the side whose norms count."""

    folder: str
    output: str
    queries: str
    references: str
    norms_of: str


def forward_list(tag, backbone, scale, multi_part_scale):
    """Augmented queries against original references."""
    folder = os.path.join(scale_folder(scale, multi_part_scale), "V5_" + tag, backbone)
    return SearchedSets(
        model_folder(tag, backbone, scale),
        os.path.join(folder, FORWARD_LIST),
        files.AUGMENTED_QUERIES,
        files.REFERENCES,
        "queries",
    )


def reverse_list(backbone, multi_part_scale):
    """Parts of references against original queries, of the multi-part models."""
    folder = os.path.join(
        scale_folder(multi_part_scale, multi_part_scale), "V5_" + files.MULTI_PART_FOLDER, backbone
    )
    return SearchedSets(
        model_folder(files.MULTI_PART_FOLDER, backbone, multi_part_scale),
        os.path.join(folder, PART_LIST),
        files.PARTS,
        files.ORIGINAL_QUERIES,
        "references",
    )


def lists_of(group, plan):
    """The SearchedSets of all models of `group` at their scales; `plan`: TestPlan."""
    lists = []
    for tag, backbone in plan.models(group):
        for scale in plan.scales_of(tag):
            lists.append(forward_list(tag, backbone, scale, plan.multi_part_scale))
        if tag == MULTI_PART:
            lists.append(reverse_list(backbone, plan.multi_part_scale))
    return lists


class NormalisedSearch:
    """Makes lists from the descriptor files below `descriptors`, by `parameters` (NormaliseParameters).

    `query_list`: file with the names of the augmented queries, one a line; each must have its descriptor, and
    each original query too. `products`: HostProducts or TorchProducts, for inner products. `norms`,
    `read_norms`: folder to which the norms of a list are saved, or from which they are read instead of being
    computed; None: neither. They lie where the list would, as `<list>.norms.npy`.
    """

    def __init__(self, descriptors, parameters, query_list, products, norms=None, read_norms=None):
        self._descriptors, self._parameters, self._products = descriptors, parameters, products
        self._names = _names(query_list)
        self._norms, self._read_norms = norms, read_norms

    def to_file(self, sets, folder, records):
        """Write the list of `sets` to its place below `folder`; returns how many rows it has.

        A list that is there, made of the same files by the same parameters as its record below `records`
        says, is kept.
        """
        path = os.path.join(folder, sets.output)
        record = os.path.join(records, sets.output + ".json")
        queries, references, training = (
            DescriptorRows(os.path.join(self._descriptors, sets.folder, name))
            for name in (sets.queries, sets.references, files.TRAIN)
        )
        self._check_names(sets, queries, references)
        normed = {"queries": queries, "references": references}[sets.norms_of]
        norms = self._given_norms(sets, normed.shape[0])
        made_of = recipe_digest(
            self._parameters,
            None if norms is None else norms.tolist(),
            [[file_digest(path) for path in rows.paths] for rows in (queries, references, training)],
        )
        done = _read_record(record)
        saved = self._norms is None or os.path.exists(norms_path(self._norms, sets))
        if (
            saved
            and done.get("made_of") == made_of
            and os.path.exists(path)
            and done["csv"] == file_digest(path)
        ):
            return done["rows"]
        if norms is None:
            norms = self._computed_norms(sets, normed, training)
        pairs = normalised_pairs(
            queries, references, norms, self._parameters.max_results, sets.norms_of, self._products
        )
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_numbered_predictions(path, queries.ids, references.ids, pairs)
        write_json(record, {"made_of": made_of, "csv": file_digest(path), "rows": len(pairs)})
        return len(pairs)

    def _given_norms(self, sets, count):
        if self._read_norms is None:
            return None
        return _load_norms(norms_path(self._read_norms, sets), count)

    def _computed_norms(self, sets, rows, training):
        norms = self._parameters.normalisation().norms(rows, training, self._products)
        if self._norms is not None:
            path = norms_path(self._norms, sets)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with replacing(path) as file:
                np.save(file, norms)
        return norms

    def _check_names(self, sets, queries, references):
        """Refusal unless the query side of `sets` is what the list of augmented queries says."""
        if sets.norms_of == "queries":
            found, expected = queries, self._names
        else:
            found, expected = references, {name.rpartition(b"_")[0] for name in self._names}
        missing = expected - set(found.ids.tolist())
        if missing or len(found.ids) != len(expected):
            strange = sorted(missing) or sorted(set(found.ids.tolist()) - expected)
            raise Refusal(
                "{}: expected descriptors of {} queries, found {}, {} {}: extract them again".format(
                    found.paths[-1],
                    len(expected),
                    len(found.ids),
                    "none of" if missing else "also one of",
                    strange[0].decode("ascii", "backslashreplace"),
                )
            )


def norms_path(folder, sets):
    """The file of the norms of a list below `folder`."""
    return os.path.join(folder, sets.output[: -len(".csv")] + ".norms.npy")


def _load_norms(path, rows):
    try:
        norms = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Refusal("{}: not an array of norms ({}); save it with --norms".format(path, error)) from None
    if norms.shape != (rows,) or norms.dtype != np.float32 or not np.isfinite(norms).all():
        raise Refusal(
            "{}: expected {} finite norms as float32, found {} of shape {}; save them with --norms".format(
                path, rows, norms.dtype, norms.shape
            )
        )
    return norms


def _names(path):
    """The names in a list, one a line, as a set of bytes."""
    try:
        with open(path, "rb") as file:
            names = file.read().split(b"\n")
    except FileNotFoundError:
        raise Refusal("{}: missing: make the augmented queries first (`dvc repro`)".format(path)) from None
    names = [name for name in names if name]
    if not names:
        raise Refusal("{}: expected names of augmented queries, found none; make them again".format(path))
    return set(names)


def _read_record(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}
