"""Write the 19 parts of every reference as the published files, and their list; by hand, no stage needs them.

At the published size these are 19,000,000 files.
"""

from __future__ import annotations

import argparse

from encore.data.image_source import open_source
from encore.runtime.shard_map import add_cluster_flag
from encore.runtime.stage import run_stage
from encore.systems.isc_track1.file_lists import write_reference_list
from encore.systems.isc_track1.reference_export import SHARD, export_parts, shard


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("images", help="the references: folder, data set or tar#prefix")
    parser.add_argument("folder", help="where reference_images_exp_0 to _18 are made")
    parser.add_argument(
        "--num",
        type=int,
        metavar="N",
        help="only the references {0} N to {0} (N + 1) - 1 (default: all)".format(SHARD),
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--list", metavar="FILE", help="write the list of all parts there (published: dev_reference_exp)"
    )
    add_cluster_flag(parser, maps=True)
    arguments = parser.parse_args()
    source = open_source(arguments.images)
    every = range(len(source)) if arguments.num is None else shard(len(source), arguments.num)
    written = export_parts(source, arguments.folder, every, arguments.workers)
    print("{} references divided, {} were there already".format(written, len(every) - written))
    if arguments.list:
        parts = write_reference_list(arguments.list, arguments.folder)
        print("{} parts listed in {}".format(parts, arguments.list))


if __name__ == "__main__":
    run_stage(main)
