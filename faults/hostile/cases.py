"""All hostile files: what a family of them does to each form of reader."""

from __future__ import annotations

from faults.hostile import archive_cases, array_cases, file_cases, pickle_cases, picture_cases, text_cases


def all_cases(full):
    """The list of Cases; full: at full size (100 MB of brackets, 10^8 columns), else a fiftieth of it."""
    large = 10**8 if full else 2 * 10**6
    cases = []
    for module in (pickle_cases, archive_cases, picture_cases, array_cases):
        cases += module.cases()
    return cases + pickle_cases.long_cases() * full + text_cases.cases(large) + file_cases.cases()
