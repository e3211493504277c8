"""Find copies between two folders of pictures; writes matches.csv, files.json, rejected.json."""

from __future__ import annotations

import os

from encore.data.image_source import open_source
from encore.runtime.atomic import write_json
from encore.runtime.parameters import read_parameters
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage, stage_parser
from encore.systems.isc.extraction import PUBLISHED, ExtractionRecipe, Extractor
from encore.systems.isc_track2.matching import match_sources
from encore.training.checkpoint import load_stripped
from stages.isc_track2.extract import ExtractParameters

MINI = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "mini")
MINI_WEIGHTS = os.path.join(MINI, "models", "isc_track2", "trained.pth.tar")
BATCH = 64


def main():
    parser = stage_parser(__doc__)
    parser.set_defaults(params=os.path.join(MINI, "params.yaml"))
    parser.add_argument("queries", help="folder of pictures")
    parser.add_argument("references", help="folder of pictures")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--weights", help="stripped weights (default: those of the mini run)")
    parser.add_argument(
        "--scales",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="sides that pictures are resized to (default: the mini size's for its own weights, "
        "else 200 256 320 400)",
    )
    parser.add_argument("--top", type=int, default=5, help="references a query (default: 5)")
    arguments = parser.parse_args()
    if arguments.top < 1:
        raise Refusal("--top {}: expected 1 or more".format(arguments.top))
    weights = arguments.weights or MINI_WEIGHTS
    if not os.path.isfile(weights):
        raise Refusal(
            "{}: no weights there: run `make mini` first, or name a file with --weights".format(weights)
        )
    extractor = Extractor(load_stripped(weights), ExtractionRecipe(scales(arguments), BATCH))
    queries, references = open_source(arguments.queries), open_source(arguments.references)
    result = match_sources(queries, references, extractor, top=arguments.top)
    os.makedirs(arguments.output, exist_ok=True)
    result.write(os.path.join(arguments.output, "matches.csv"))
    result.write_skipped(os.path.join(arguments.output, "rejected.json"))
    write_json(
        os.path.join(arguments.output, "files.json"),
        {"queries": paths(queries), "references": paths(references)},
    )


def scales(arguments):
    if arguments.scales:
        return tuple(arguments.scales)
    if arguments.weights:
        return PUBLISHED.scales
    return read_parameters(arguments.params, "isc_track2.extract", ExtractParameters).scales


def paths(source):
    return {name: os.path.join(source.spec, name) for name in source.names}


if __name__ == "__main__":
    run_stage(main)
