"""Bounds of YAML files, checked on their events before anything is built of them."""

from __future__ import annotations

from encore.runtime.bounded_file import read_bounded

LARGEST = 1 << 24
"""Bytes; the largest file of this kind is a hundredth of it."""
DEEPEST = 64
"""Lists and blocks within each other: libyaml's own composer ends the process at some thousands."""
MOST_NODES = 1000000
"""Values when every alias is written out: the dvc.lock of a pipeline has 60,000."""
LONGEST_PLAIN = 1 << 14
"""Characters of a value that may be read as a number: n digits take n^2 steps."""
TEXT_TAGS = (None, "tag:yaml.org,2002:str")
"""Of values in quotes that are read as texts and nothing else; one with the tag ! may become a number."""
BAD_VALUE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyYAML raises for a value that its own tag or form does not allow, as the date 2026-13-45."""


def read_yaml_text(path, loader, largest=LARGEST, most_values=MOST_NODES):
    """The text of a YAML file in UTF-8; OSError and UnicodeDecodeError as `open` raises them, Refusal for
    what is no plain file or too large, and yaml.YAMLError for what `check_events` finds."""
    text = read_bounded(path, largest).decode("utf-8")
    check_events(text, loader, most_values)
    return text


def check_events(text, loader, most_values=MOST_NODES):
    """Raise yaml.YAMLError, in one line, for a document that nests more than DEEPEST, has an alias of a part
    that is not before it (as of one that it stands in), or would have more than `most_values` with its
    aliases written out."""
    import yaml

    sizes, inside, total = {}, [], 0  # of each anchor; (anchor, values before) of what is open
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError("the alias *{} stands for no part before it".format(event.anchor))
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = inside.pop()
            sizes[anchor] = total - before
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.ScalarEvent):
                sizes[event.anchor] = 1
                _check_plain(event)
            else:
                inside.append((event.anchor, total))
                sizes.pop(event.anchor, None)
            total += 1
        _check_bounds(len(inside), total, most_values)


def _check_plain(event):
    import yaml

    in_quotes = event.style not in (None, "")
    if len(event.value) <= LONGEST_PLAIN or (in_quotes and event.tag in TEXT_TAGS):
        return
    found = "with the tag {}".format(event.tag) if in_quotes else "without quotes"
    raise yaml.YAMLError(
        "a value of {} characters {}: expected at most {}".format(len(event.value), found, LONGEST_PLAIN)
    )


def _check_bounds(depth, total, most_values):
    import yaml

    if depth > DEEPEST:
        raise yaml.YAMLError("more than {} lists and blocks within each other".format(DEEPEST))
    if total > most_values:
        raise yaml.YAMLError("more than {} values, with its aliases written out".format(most_values))
