"""A published command line as data: what each flag does, what it overrides, and which flags do nothing."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple


class Flag(NamedTuple):
    """One published flag."""

    names: Tuple[str, ...]
    default: Any
    """Published default."""
    effect: str
    key: Optional[str]
    """Parameter that it overrides; None: accepted and without effect on the numbers."""
    kind: Any = None
    """Type of the value; None: a switch."""
    count: Optional[str] = None
    """argparse's nargs."""
    choices: Optional[Tuple[str, ...]] = None
    """The values allowed; None: all of its type."""
    secret: bool = False
    """Whether its value appears nowhere."""


IGNORED = "accepted and ignored, as by the published script"


def attribute(flag):
    """Name under which the parsed arguments hold a flag: the last of its names, with underscores."""
    return flag.names[-1].lstrip("-").replace("-", "_")


def add(parser, flags, title, description=None, default="published default"):
    """Add `flags` to an argparse parser as the group `title`, without defaults, so that only what was typed
    overrides a parameter.

    default: what the help calls their defaults.
    """
    group = parser.add_argument_group(title, description)
    for flag in flags:
        text = "%s (%s: %s)" % (flag.effect, default, flag.default)
        keywords = {"dest": attribute(flag), "default": None, "help": text}
        if flag.kind is None:
            group.add_argument(*flag.names, action="store_true", **keywords)
        else:
            keywords.update(type=flag.kind, nargs=flag.count, choices=flag.choices)
            group.add_argument(*flag.names, **keywords)
    return parser


def typed(arguments, flags, ignored=()):
    """Parsed arguments -> (parameters to override: key -> value, warnings: one line per typed flag without
    effect), in the order of `flags`.

    ignored: keys whose flags have no effect here, too.
    """
    chosen, warnings = {}, []
    for flag in flags:
        value = getattr(arguments, attribute(flag))
        if value is None:
            continue
        if flag.key is not None and flag.key not in ignored:
            chosen[flag.key] = value
        else:
            shown = "" if flag.kind is None or flag.secret else " %s" % (value,)
            effect = flag.effect if flag.key is None else IGNORED
            warnings.append("%s%s: %s" % (flag.names[-1], shown, effect))
    return chosen, warnings
