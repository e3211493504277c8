"""Give ImageNet's pictures the names I0000000.jpg, I0000001.jpg, ... in one folder, or face frames the names
F000000.jpg, ... (by hand).

For ImageNet the pipeline does without: it numbers its own folders, or a tar of them, as it reads them. A
stopped run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse

from encore.runtime.stage import run_stage
from encore.systems.drip.renaming import COPY, KINDS, MOVE, rename


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("kind", choices=tuple(KINDS), help="whose pictures they are")
    parser.add_argument(
        "root", metavar="ROOT", help="ImageNet's folder, with train, val and test in it, or that of frames"
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="folder of the renamed pictures (published: imagenet_images, face_frames)",
    )
    parser.add_argument(
        "--move",
        action="store_true",
        help="move the pictures, numbers go on after those in TARGET (default: copy)",
    )
    arguments = parser.parse_args()
    plan = rename(arguments.kind, arguments.root, arguments.target, MOVE if arguments.move else COPY)
    print("{} pictures in {}".format(len(plan), arguments.target))


if __name__ == "__main__":
    run_stage(main)
