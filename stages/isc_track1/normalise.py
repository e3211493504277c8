"""List the best pairs of queries and references by normalised score, for all models of one group."""

from __future__ import annotations

import dataclasses
import os

from encore.runtime.parameters import from_mapping, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.runtime.unit_needs import DEVICE
from encore.search.products import fastest_products
from encore.systems.isc_track1.descriptor_files import DESCRIPTORS
from encore.systems.isc_track1.file_lists import QUERY_LIST
from encore.systems.isc_track1.normalised_search import NormalisedSearch, NormaliseParameters, lists_of
from encore.systems.isc_track1.test_plan import TestPlan

QUERIES = "data/isc_track1/queries"
OUTPUT = "predictions/isc_track1"
FLAGS = (("factor", float, "factor"), ("n", int, "neighbours"), ("reduction", str, "reduction"))


def main():
    arguments = parsed()
    by_hand = arguments.output is not None  # its records stay apart from the pipeline's
    with Stage("isc_track1", "normalise_by_hand" if by_hand else "normalise", arguments.group) as stage:
        section = read_parameters(arguments.params, "isc_track1.normalise", NormaliseParameters)
        parameters = overridden(section, arguments)
        stage.recorded["parameters"] = dataclasses.asdict(parameters)
        stage.recorded["read_norms"] = arguments.read_norms
        plan = read_parameters(arguments.params, "isc_track1.test", TestPlan)
        if arguments.group not in plan.groups:
            raise Refusal(
                "{}: isc_track1.test.groups: group {} is none of {}".format(
                    arguments.params, arguments.group, ", ".join(plan.groups)
                )
            )
        descriptors = needed(os.path.join(DESCRIPTORS, arguments.group))
        query_list = needed(os.path.join(QUERIES, QUERY_LIST))
        work = stage.work_folder(recipe_digest(parameters, plan))
        lists = arguments.output if by_hand else os.path.join(work, "lists")
        records = os.path.join(work, "records")

        folders = [folder for folder in (lists, records, arguments.norms) if folder is not None]

        def make_worker():
            search = NormalisedSearch(
                descriptors,
                parameters,
                query_list,
                fastest_products(),
                arguments.norms,
                arguments.read_norms,
            )
            return lambda sets: search.to_file(sets, lists, records)

        rows = list(map_units(make_worker, lists_of(arguments.group, plan), 1, DEVICE, folders))
        if by_hand:
            print("{} lists of {} to {} rows in {}".format(len(rows), min(rows), max(rows), lists))
            return
        stage.publish(lists, os.path.join(OUTPUT, arguments.group))
        stage.metrics({"lists": len(rows), "rows_min": min(rows), "rows_max": max(rows)})


def parsed():
    """The command line; Refusal for flags that would change an output of the pipeline."""
    parser = stage_parser(__doc__, maps=True)
    parser.add_argument("group", help="one of isc_track1.test.groups in the parameter file")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="run beside the pipeline: write the lists there, and leave its outputs and metrics alone",
    )
    published = parser.add_argument_group(
        "published flags", "they override the parameter file, and need --output"
    )
    names = ["--" + flag for flag, _, _ in FLAGS] + ["--max_results", "--norms", "--read_norms"]
    for flag, kind, key in FLAGS + (("max_results", int, "max_results"),):
        published.add_argument("--" + flag, type=kind, dest=key, help="parameter " + key)
    published.add_argument("--norms", metavar="FOLDER", help="folder to save the norms of every list to")
    published.add_argument("--read_norms", metavar="FOLDER", help="folder to read them from instead")
    arguments = parser.parse_args()
    keys = [key for _, _, key in FLAGS] + ["max_results", "norms", "read_norms"]
    typed = [name for name, key in zip(names, keys) if getattr(arguments, key) is not None]
    if typed and arguments.output is None:
        raise Refusal(
            "{}: published flags describe a run beside the pipeline: name its folder with --output, or "
            "change isc_track1.normalise in {}".format(typed[0], arguments.params)
        )
    for name, folder in (("--output", arguments.output), ("--norms", arguments.norms)):
        if folder is not None and within(folder, OUTPUT):
            raise Refusal(
                "{} {}: {} is the pipeline's: name a folder outside of it".format(name, folder, OUTPUT)
            )
    return arguments


def within(folder, outer):
    """Whether `folder` is `outer` or lies below it, symbolic links resolved."""
    folder, outer = os.path.realpath(folder), os.path.realpath(outer)
    return os.path.commonpath([folder, outer]) == outer


def overridden(parameters, arguments):
    """`parameters` with the published flags that were typed."""
    values = dataclasses.asdict(parameters)
    for key in values:
        if getattr(arguments, key) is not None:
            values[key] = getattr(arguments, key)
    return from_mapping(NormaliseParameters, values, "published flags")


if __name__ == "__main__":
    run_stage(main)
