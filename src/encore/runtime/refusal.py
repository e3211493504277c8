"""The one error class a user is meant to read."""

from __future__ import annotations


class Refusal(Exception):
    """A run that must not start or go on: one line with what was expected, what was found, where, what to do.

    Stages and `checks` print it without a traceback and exit with status 2.
    """
