"""One hostile file: how it is made, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A hostile file of some forms of Reader."""

    family: str
    """The line of the table: bomb, links, ..."""
    name: str
    make: Callable[[Path, Path], Path | None]
    """Given the valid sample of a reader, in a folder of its own, and the folder around it, where nothing may
    appear: turns the sample into the hostile file; returns the path to read where it is another."""
    forms: tuple[str, ...]
    """Forms of the readers that are given it; empty: all that read one file."""
    harmless: str = ""
    """Why it may be read as well as refused; else it must be refused."""


CODE, OUTSIDE, BOMB, LINKS = "code that runs", "archive member outside", "bomb", "links and special files"
WIDE, NAMES, GARBLED = "deep or wide text", "odd names", "truncated or garbled"
FAMILIES = (CODE, OUTSIDE, BOMB, LINKS, WIDE, NAMES, GARBLED)
CANARY = "canary"
"""The file in the folder around that hostile code would make; `read_me` beside it is what links lead to."""
SECRET = "read_me"
