"""Which file names of a data set are missing, too many, renamed or there twice."""

from __future__ import annotations

import re
from collections import Counter

from checks.raw_data.names import NamePattern

SHOWN = 3


def name_problems(entry, names, classes=()):
    """What is wrong with the names of a data set (its Input), as short texts that name the first few."""
    patterns = [NamePattern.of(text, "names") for text in entry.names]
    missing, extra, twice = _exact(patterns, names, classes) or _loose(patterns, names, classes)
    renamed, missing, extra = renames(missing, extra)
    found = [f"{shown(old)} is there as {shown(new)}" for old, new in renamed[:SHOWN]]
    if len(renamed) > SHOWN:
        found.append(f"{len(renamed):,} renamed in all")
    found += [
        *first_few("missing", missing),
        *first_few("unexpected", extra),
        *first_few("there twice", twice),
    ]
    return found + (group_problems(entry, patterns, names) if not extra else [])


def _exact(patterns, names, classes):
    """(missing, unexpected, none twice) where the patterns say every name, else None."""
    if not all(pattern.exact for pattern in patterns):
        return None
    wanted = {name for pattern in patterns for name in pattern.names(classes)}
    found = set(names)
    return sorted(wanted - found), sorted(found - wanted), []


def _loose(patterns, names, classes):
    matchers = [pattern.matcher(classes) for pattern in patterns]
    seen, extra = [Counter() for _ in patterns], []
    for name in names:
        for counter, matcher in zip(seen, matchers, strict=True):
            key = matcher(name)
            if key is not None:
                counter[key] += 1
                break
        else:
            extra.append(name)
    missing, twice = [], []
    for pattern, counter in zip(patterns, seen, strict=True):
        missing += [pattern.written(key) for key in pattern.keys(classes) if key not in counter]
        if not any(part.kind == "free" and part.text not in "()" for part in pattern.parts):
            twice += [pattern.written(key) for key, times in counter.items() if times > 1]
    return missing, extra, twice


def renames(missing, extra):
    """([(old, new)], missing, extra): a name that differs in its suffix or in capitals only is taken for the
    same file."""
    by_stem = {_stem(name): name for name in extra}
    pairs = [(name, by_stem.pop(_stem(name))) for name in missing if _stem(name) in by_stem]
    old, new = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    return pairs, [name for name in missing if name not in old], [name for name in extra if name not in new]


def _stem(name):
    folder, _, file = name.rpartition("/")
    return folder, (file.rpartition(".")[0] or file).casefold()


def group_problems(entry, patterns, names):
    """What is wrong with the number of classes or identities, and of the files of each."""
    if entry.groups is None and not entry.per_group:
        return []
    grouped = [re.compile(pattern.expression()[0]) for pattern in patterns if _has_group(pattern)]
    counts = Counter(_groups(grouped, names))
    found = []
    if entry.groups is not None and len(counts) != entry.groups:
        found.append(f"{len(counts):,} classes or identities, expected {entry.groups:,}")
    if entry.per_group:
        low, high = entry.per_group
        wanted = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        wrong = sorted(group for group, count in counts.items() if not low <= count <= high)
        found += [f"{shown(group)}: {counts[group]:,} files, expected {wanted}" for group in wrong[:SHOWN]]
        if len(wrong) > SHOWN:
            found.append(f"{len(wrong):,} such classes in all")
    return found


def _has_group(pattern):
    return any(part.text == "(" for part in pattern.parts)


def _groups(expressions, names):
    """The identity or class of each name: what stands in ( ), else its folder."""
    for name in names:
        match = None
        for expression in expressions:
            match = match or expression.fullmatch(name)
        yield match["group"] if match else name.partition("/")[0]


def first_few(what, names):
    """[`missing: a, b`] or [`12 missing, the first: a, b, c`]; [] where there is none."""
    if not names:
        return []
    few = ", ".join(map(shown, names[:SHOWN]))
    return [f"{what}: {few}" if len(names) <= SHOWN else f"{len(names):,} {what}, the first: {few}"]


def shown(name):
    """A file name as one printable line, whatever bytes it holds."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
