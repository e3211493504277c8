"""List the best pairs of queries and references by normalised score, for all models of one group."""

from __future__ import annotations

import dataclasses
import os

from encore.runtime.parameters import from_mapping, read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.search.products import HostProducts, TorchProducts
from encore.systems.isc_track1.descriptor_files import DESCRIPTORS
from encore.systems.isc_track1.file_lists import QUERY_LIST
from encore.systems.isc_track1.normalised_search import NormalisedSearch, NormaliseParameters, lists_of
from encore.systems.isc_track1.test_plan import TestPlan

QUERIES = "data/isc_track1/queries"
FLAGS = (("factor", float, "factor"), ("n", int, "neighbours"), ("reduction", str, "reduction"))


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("group", help="one of isc_track1.test.groups in the parameter file")
    published = parser.add_argument_group("published flags", "they override the parameter file")
    for flag, kind, key in FLAGS + (("max_results", int, "max_results"),):
        published.add_argument("--" + flag, type=kind, dest=key, help="parameter " + key)
    published.add_argument("--norms", metavar="FOLDER", help="folder to save the norms of every list to")
    published.add_argument("--read_norms", metavar="FOLDER", help="folder to read them from instead")
    arguments = parser.parse_args()
    with Stage("isc_track1", "normalise", item=arguments.group) as stage:
        parameters = overridden(stage.parameters(arguments.params, NormaliseParameters), arguments)
        stage.recorded["parameters"] = dataclasses.asdict(parameters)
        stage.recorded["read_norms"] = arguments.read_norms
        plan = read_parameters(arguments.params, "isc_track1.test", TestPlan)
        if arguments.group not in plan.groups:
            raise Refusal(
                "{}: isc_track1.test.groups: group {} is none of {}".format(
                    arguments.params, arguments.group, ", ".join(plan.groups)
                )
            )
        search = NormalisedSearch(
            needed(os.path.join(DESCRIPTORS, arguments.group)),
            parameters,
            needed(os.path.join(QUERIES, QUERY_LIST)),
            products(),
            arguments.norms,
            arguments.read_norms,
        )
        work = stage.work_folder(recipe_digest(parameters, plan))
        lists, records = os.path.join(work, "lists"), os.path.join(work, "records")
        rows = [search.to_file(sets, lists, records) for sets in lists_of(arguments.group, plan)]
        stage.publish(lists, os.path.join("predictions", "isc_track1", arguments.group))
        stage.metrics({"lists": len(rows), "rows_min": min(rows), "rows_max": max(rows)})


def overridden(parameters, arguments):
    """`parameters` with the published flags that were typed."""
    values = dataclasses.asdict(parameters)
    for key in values:
        if getattr(arguments, key) is not None:
            values[key] = getattr(arguments, key)
    return from_mapping(NormaliseParameters, values, "published flags")


def products():
    """Where the inner products are computed: on a GPU where torch finds one, else by NumPy."""
    import torch

    return TorchProducts("cuda") if torch.cuda.is_available() else HostProducts()


if __name__ == "__main__":
    run_stage(main)
