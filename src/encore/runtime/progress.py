"""Progress of long work: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys


def progress(iterable, total, what):
    """Iterate over `iterable`, showing how many of `total` units of `what` are done, on stderr."""
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
    )
