"""The numerical canary: does this machine compute what the recorded ones computed?

A fixed small network and fixed pictures go through the operations that a result rests on: convolution,
BatchNorm, matrix product, softmax, a training of ten steps, JPEG decode, resize, JPEG encode. Each outcome is
compared with golden values that were recorded for a torch version and device, or a Pillow and JPEG library.

`python -m encore.runtime.canary` prints the table; `run` gives the same as a dict. Importing this package
imports neither torch nor Pillow.
"""

from encore.runtime.canary.comparison import compare
from encore.runtime.canary.report import run

__all__ = ["compare", "run"]
