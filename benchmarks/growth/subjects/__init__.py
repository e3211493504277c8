"""The subjects, one module each: what is done to n entries, and at which n.

A module has
    OF          what the n entries are
    SIZES       n of the full run, three decades at least; SHORT: n of the short one
    EXPLAINED   {time or memory: (exponent, why)}: why it grows faster than it should, up to this exponent;
                may be absent
    OUTPUT      whether it leaves files in `<folder>/output`; PER_OBJECT: entries that it puts into one shard
    prepare     (folder, n): writes what is read, in a process of its own; may be absent
    ready       (folder, n): loads what lies in memory and returns the function whose cost is measured
"""

from __future__ import annotations

import importlib

NAMES = (
    "generation",
    "manifest_check",
    "shard_reading",
    "extraction",
    "descriptor_reading",
    "nearest_search",
    "capped_search",
    "score_normalisation",
    "square_search",
    "score_list_reading",
    "vote",
    "final_scores",
    "prediction_reading",
    "micro_average_precision",
    "bootstrap_interval",
    "file_digests",
    "evidence_file",
    "pair_reading",
    "picture_listing",
    "label_store",
    "person_ranking",
    "k_reciprocal",
    "two_views",
    "training_step",
    "forward_pass",
)


BY_CACHES = 1.45
"""Up to this exponent, over two decades, more memory than the caches hold explains what sorting and looking
up cost."""


def of_caches(what):
    """EXPLAINED of work, said as `what` is done, in an order that no cache foresees."""
    why = (
        "{} in an order that no cache foresees: what an entry costs rises while they outgrow the caches of "
        "the processor, from some 10^5 entries on, and levels off; the operations are n log n at most"
    )
    return {"time": (BY_CACHES, why.format(what))}


def subject(name):
    """The module of the subject `name`."""
    return importlib.import_module("benchmarks.growth.subjects." + name)


def half_decades(first, last):
    """Sizes from 10^first to 10^last, two a decade: 1000, 3162, 10000, …"""
    return tuple(round(10 ** (half / 2)) for half in range(2 * first, 2 * last + 1))
