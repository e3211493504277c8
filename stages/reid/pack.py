"""Pack the pictures of a batches_dir into one LMDB file; by hand, no stage needs it.

The file holds the pictures' bytes as they are, with names and labels, and stands for the folder as
batches_dir. It appears when it is whole: a stopped run is started again.
"""

from __future__ import annotations

import argparse
import os

from encore.data.person_names import NAMINGS
from encore.data.picture_database import write_picture_database
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
from encore.systems.reid.training_pictures import open_training_pictures


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("batches_dir", metavar="BATCHES_DIR", help="the training set: see `encore data`")
    parser.add_argument(
        "target", metavar="FILE", help="the LMDB file to write; one that is there is replaced"
    )
    parser.add_argument(
        "--naming",
        choices=NAMINGS,
        default="market",
        help="how names tell identities in a flat folder (default: market)",
    )
    arguments = parser.parse_args()
    if os.path.isdir(arguments.target):
        raise Refusal("{}: expected a file to write, found a folder: name a file".format(arguments.target))
    pictures = open_training_pictures(arguments.batches_dir, arguments.naming)
    digest = write_picture_database(arguments.target, pictures)
    print(
        "{} pictures of {} classes in {} (digest {})".format(
            len(pictures), len(pictures.classes), arguments.target, digest
        )
    )


if __name__ == "__main__":
    run_stage(main)
