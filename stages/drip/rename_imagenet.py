"""Give ImageNet's pictures the names I0000000.jpg, I0000001.jpg, ... in one folder (by hand).

The pipeline does without: it numbers ImageNet's own folders, or a tar of them, as it reads them. A stopped
run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse

from encore.runtime.stage import run_stage
from encore.systems.drip.imagenet_names import COPY, MOVE, rename_imagenet


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("root", metavar="ROOT", help="ImageNet's folder, with train, val and test in it")
    parser.add_argument(
        "target", metavar="TARGET", help="folder of the renamed pictures (published: imagenet_images)"
    )
    parser.add_argument(
        "--move",
        action="store_true",
        help="move the pictures, numbers go on after those in TARGET (default: copy)",
    )
    arguments = parser.parse_args()
    plan = rename_imagenet(arguments.root, arguments.target, MOVE if arguments.move else COPY)
    print("{} pictures in {}".format(len(plan), arguments.target))


if __name__ == "__main__":
    run_stage(main)
