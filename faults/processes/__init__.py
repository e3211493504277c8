"""Training on several processes and machines: shares of one run, lost workers, machines cut off.

A run on several processes is survived where it ends in the result of one process, to the bound that the
recipe states; a lost worker or machine where no process of the run is left, what ended it is said in one
line, and the run that starts again (by torchrun itself, or by the same command) ends in the bits of an
undisturbed one.
"""

from __future__ import annotations

from faults.joined import joined_rows


def rows(full):
    """Yield the Rows of all systems; full: also more processes, the legacy launcher, and machines cut off."""
    return joined_rows(__name__, __path__, full)
