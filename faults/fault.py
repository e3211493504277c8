"""What one kind of fault did to one place: how often it was injected, survived, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    A fault is survived where everything that its suite promises was found afterwards, and lost otherwise.
    """

    suite: str
    place: str
    """A stage as DVC names it, a reader, or what else was hit."""
    kind: str
    """The fault: SIGKILL, disk full, pickle that runs code, ..."""
    injected: int
    survived: int
    seconds: float
    losses: tuple[str, ...] = ()
    """One line for each fault that was not survived."""
    skipped: str = ""
    """Why none was injected: what this machine does not allow, or that no run came to it."""
    figures: tuple[tuple[str, float], ...] = ()
    """Further figures of a suite, as ("inputs", 100000.0): they are kept with the row."""

    def __post_init__(self):
        if self.lost != len(self.losses):
            raise ValueError(
                f"{self.place}, {self.kind}: {self.lost} lost, but {len(self.losses)} are told of"
            )
        if self.skipped and self.injected:
            raise ValueError(f"{self.place}, {self.kind}: skipped, but {self.injected} injected")

    @property
    def lost(self):
        return self.injected - self.survived
