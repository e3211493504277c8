"""Write <name>_LIGHT.ckpt beside each checkpoint: the weights of its network, without the kernel of its
classes and what only training needs, as published."""

from __future__ import annotations

import argparse

from encore.runtime.stage import run_stage


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="PATH_OR_GLOB",
        help="checkpoints of drip training, ours or published; light ones among them are left out",
    )
    patterns = parser.parse_args().checkpoints
    from encore.systems.drip.published_checkpoints import write_light

    for path in write_light(*patterns):
        print(path)


if __name__ == "__main__":
    run_stage(main)
