"""A Row from injections that each say what was lost."""

from __future__ import annotations

import time

from faults.fault import Row


def judged(suite, place, kind, *injections, figures=()):
    """The Row of one kind of fault at one place.

    injections: functions that inject it once -> a list of texts, what was lost (none: survived). An error
    that one raises is a loss. figures: ("name", number) pairs, or a function that gives them afterwards.
    """
    began, losses = time.monotonic(), []
    for inject in injections:
        try:
            found = inject()
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            losses.append("; ".join(" ".join(text.split()) for text in found))
    seconds = time.monotonic() - began
    shown = tuple(figures() if callable(figures) else figures)
    return Row(
        suite, place, kind, len(injections), len(injections) - len(losses), seconds, tuple(losses), "", shown
    )
