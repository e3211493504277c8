"""Progress of long work: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import os
import sys


def progress(iterable, total, what):
    """Iterate over `iterable`, showing how many of `total` units of `what` are done, on stderr.

    Of several processes of one training run only the first one shows it.
    """
    from tqdm import tqdm

    interactive = sys.stderr.isatty()
    return tqdm(
        iterable,
        total=total,
        desc=what,
        mininterval=0.1 if interactive else 10.0,
        ascii=not interactive,
        leave=True,
        file=sys.stderr,
        dynamic_ncols=interactive,
        disable=int(os.environ.get("RANK", "0")) > 0,
    )
