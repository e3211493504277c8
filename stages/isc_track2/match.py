"""Find copies between two folders of pictures; writes matches.csv, rejected.json and, last, match.json.

Descriptors are kept below the output, in the folder work: the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os

from encore.runtime import hardware
from encore.runtime.atomic import write_json
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.search.products import fastest_products
from encore.search.score_normalisation import PUBLISHED, ScoreNormalisation
from encore.systems.matching import kept_descriptors
from encore.systems.matching.describer import Describer
from encore.systems.matching.match_files import folder_text, write_matches, write_rejected
from encore.systems.matching.matches import MOST_ROWS, MatchRecipe, match
from encore.systems.matching.picture_listing import list_pictures
from encore.systems.matching.weights_files import EXPECTED

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINI = os.path.join(PROJECT, "mini")
MINI_WEIGHTS = os.path.join(MINI, "models", "isc_track2", "trained.pth.tar")
TRAINING = "normalise-with"


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("queries", help="folder of pictures")
    parser.add_argument("references", help="folder of pictures")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--weights", help=EXPECTED + "; default: those of the mini run")
    parser.add_argument(
        "--scales",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="sides that pictures are resized to (default: those that the weights were tested at)",
    )
    parser.add_argument("--top", type=int, default=5, help="references a query (default: 5)")
    parser.add_argument(
        "--max-rows", type=int, default=MOST_ROWS, metavar="N", help="of matches.csv (default: 500000)"
    )
    parser.add_argument(
        "--normalise-with", metavar="FOLDER", help="pictures unlike both: scores are normalised by them"
    )
    parser.add_argument(
        "--top-training",
        type=int,
        default=PUBLISHED.neighbours,
        metavar="N",
        help="nearest of those that count (published: 10)",
    )
    parser.add_argument(
        "--factor", type=float, default=PUBLISHED.factor, help="of their mean (published: 2.0)"
    )
    parser.add_argument("--threads", type=int, default=0, help="that decode pictures (default: all cores)")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parsed()
    if arguments.parent:
        from encore.runtime.shard_map import end_with_parent

        end_with_parent(arguments.parent)
    training = arguments.normalise_with
    normalisation = ScoreNormalisation(arguments.top_training, arguments.factor) if training else None
    recipe = MatchRecipe(arguments.top, arguments.max_rows, normalisation)
    folders = {"queries": arguments.queries, "references": arguments.references}
    if training:
        folders[TRAINING] = training
        refuse_same(folders)
    refuse_output(arguments.output, folders)
    describer = Describer(weights_of(arguments), (MINI, PROJECT), arguments.scales, device())
    output = os.path.abspath(arguments.output)
    work = os.path.join(output, "work")
    os.makedirs(work, exist_ok=True)
    with locked(os.path.join(work, "lock")):
        threads = arguments.threads or os.cpu_count() or 1
        sides = {name: side(folder, name, describer, output, threads) for name, folder in folders.items()}
        found = match(
            sides["queries"][1],
            sides["references"][1],
            recipe,
            sides[TRAINING][1] if training else None,
            fastest_products(),
        )
        write(output, found, sides, recipe, describer)


def weights_of(arguments):
    weights = arguments.weights or MINI_WEIGHTS
    if not os.path.isfile(weights):
        raise Refusal("{}: no weights there: run `make mini`, or pass --weights".format(weights))
    return weights


def refuse_same(folders):
    """Refusal where the pictures unlike both are those of one side."""
    for name in ("queries", "references"):
        if os.path.realpath(folders[TRAINING]) == os.path.realpath(folders[name]):
            raise Refusal(
                "--normalise-with {}: the folder of the {}: give pictures unlike both".format(
                    folders[TRAINING], name
                )
            )


def refuse_output(output, folders):
    """Refusal where `output` holds one of the folders: what is written would count as pictures later."""
    output = os.path.realpath(output)
    for name, folder in folders.items():
        inner = os.path.realpath(folder)
        if os.path.commonpath([output, inner]) == output:
            raise Refusal(
                "--output {}: {} the folder of {}: give a folder of its own".format(
                    output, "is" if inner == output else "holds", name
                )
            )


def device():
    """The device to compute on; Refusal for a GPU that the hardware rule refuses."""
    import torch

    objection = hardware.objection_here()
    if objection is not None and not hardware.accepted():
        raise Refusal(
            "{}; leave it out with CUDA_VISIBLE_DEVICES, or run anyway with {}=1".format(
                objection, hardware.ACCEPT
            )
        )
    return "cuda" if torch.cuda.is_available() else "cpu"


def locked(path):
    """The open file `path`, which no other process has open so; Refusal where one has."""
    file = open(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise Refusal(
            "{}: process {} is writing there already: wait for it, stop it, or give another --output".format(
                os.path.dirname(os.path.dirname(path)), holder
            )
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def side(folder, name, describer, output, threads):
    """(PictureListing, KeptDescriptors) of one folder; Refusal where none of its files is a picture."""
    listing = list_pictures(folder, name, leave_out=output)
    kept = kept_descriptors.describe(
        listing, describer, os.path.join(output, "work", "descriptors"), name, threads
    )
    if not kept.shape[0]:
        raise Refusal(
            "{}: none of its {} files is a picture ({}): name a folder of pictures".format(
                folder, len(listing), kept.rejected[0][1]
            )
        )
    return listing, kept


def write(output, found, sides, recipe, describer):
    """The three files; a match.json is there only beside the matches that it tells of."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(output, "match.json"))
    listed = write_matches(os.path.join(output, "matches.csv"), found, sides["queries"], sides["references"])
    write_rejected(os.path.join(output, "rejected.json"), sides)
    normalisation = recipe.normalisation
    write_json(
        os.path.join(output, "match.json"),
        {
            "folders": {
                name: {
                    "folder": folder_text(listing.folder),
                    "files": len(listing),
                    "pictures": kept.shape[0],
                    "rejected": len(kept.rejected),
                }
                for name, (listing, kept) in sides.items()
            },
            "weights": {
                "file": folder_text(os.path.abspath(describer.weights)),
                "sha256": describer.weights_digest,
                "kind": describer.kind,
                "mini": describer.mini,
            },
            "scales": list(describer.scales),
            "width": describer.width,
            "top": recipe.top,
            "normalisation": None
            if normalisation is None
            else {"top_training": normalisation.neighbours, "factor": normalisation.factor},
            "unlike": found.unlike,
            "rows": len(found.pairs),
            "rows_left_out": found.left_out,
            "queries_listed": listed,
        },
    )


if __name__ == "__main__":
    run_stage(main)
