"""One reader of files that others made: what it takes, a small valid sample, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reader:
    """A function of this project that reads a file from outside.

    It keeps its promise where it returns, or raises a Refusal of one line; it never does anything else.
    """

    place: str
    """The module's file, from the root of the project."""
    form: str
    """What it takes; decides which hostile files it is given: torch, pickle, hdf5, folder, ..."""
    sample: Callable[[Path], Path]
    """Makes a small valid file in an empty folder; returns its path."""
    read: Callable[[Path], object]
    """Reads the file at a path to its end."""
    lenient: str = ""
    """Why it may read what others must refuse, unless code would run or a path lead outside."""

    @property
    def name(self):
        """Tells readers of one module apart: `src/encore/data/images.py (picture)`."""
        return f"{self.place} ({self.form})"
