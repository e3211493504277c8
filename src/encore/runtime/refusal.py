"""The one error class a user is meant to read."""

from __future__ import annotations

import reprlib

LONGEST = 4000
"""Characters of a line; what a hostile file wants to have said is cut there."""


class Refusal(Exception):
    """A run that must not start or go on: one line with what was expected, what was found, where, what to do;
    further arguments are lines of their own.

    Stages and `checks` print it without a traceback and exit with status 2. Characters that are not printed,
    as line breaks in the name of a file, stand there as Python writes them (`\\n`), so that a name cannot
    look like a line of ours.
    """

    def __str__(self):
        return "\n".join(printable(str(line)) for line in self.args)


def printable(text, longest=LONGEST):
    """`text` on one line: what does not print is escaped, and what is too long is cut."""
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def brief(value):
    """What `repr` writes, cut where it becomes long: lists in lists that share their parts are not walked
    through."""
    return _BRIEF.repr(value)


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 200
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 8
_BRIEF.maxlevel = 3
