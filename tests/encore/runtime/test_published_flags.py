"""A published command line as data: what was typed, what has no effect, what stays unsaid."""

import argparse

import pytest

from encore.runtime import published_flags
from encore.runtime.published_flags import Flag, attribute

FLAGS = (
    Flag(("-b", "--batch-size"), 64, "pictures a step", "batch", int),
    Flag(("--roll", "--image_shift"), 32, "largest roll", "roll", int),
    Flag(("--sizes",), [1, 2], "sizes", "sizes", int, "+"),
    Flag(("--cos",), False, "cosine", "cosine"),
    Flag(("--mode",), "a", "mode", "mode", str, choices=("a", "b")),
    Flag(("--rank",), 0, "accepted and ignored: one rank", None, int),
    Flag(("--verify",), False, "accepted and ignored: always", None),
    Flag(("--key",), None, "accepted and ignored: nothing is sent", None, str, secret=True),
)


def parser():
    return published_flags.add(argparse.ArgumentParser(), FLAGS, "published flags")


def typed(text, ignored=()):
    return published_flags.typed(parser().parse_args(text.split()), FLAGS, ignored)


def test_only_what_was_typed_overrides():
    assert typed("") == ({}, [])
    chosen = {"batch": 0, "roll": 3, "sizes": [4, 5], "cosine": True, "mode": "b"}
    assert typed("-b 0 --roll 3 --sizes 4 5 --cos --mode b") == (chosen, [])
    assert typed("--batch-size 0 --image_shift 3 --sizes 4 5 --cos --mode b") == (chosen, [])
    assert [attribute(flag) for flag in FLAGS[:2]] == ["batch_size", "image_shift"]


def test_what_has_no_effect_is_named_with_its_value_but_for_switches_and_secrets():
    assert typed("--rank 0 --verify --key abc") == (
        {},
        [
            "--rank 0: accepted and ignored: one rank",
            "--verify: accepted and ignored: always",
            "--key: accepted and ignored: nothing is sent",
        ],
    )
    ignored = "--sizes [1, 2]: accepted and ignored, as by the published script"
    assert typed("--sizes 1 2 -b 3", ignored=("sizes",)) == ({"batch": 3}, [ignored])


def test_a_value_that_is_no_choice_ends_the_program(capsys):
    with pytest.raises(SystemExit):
        typed("--mode c")
    assert "invalid choice: 'c'" in capsys.readouterr().err


def test_the_help_says_what_kind_of_default_it_is():
    assert "pictures a step (published default: 64)" in parser().format_help()
    ours = published_flags.add(argparse.ArgumentParser(), FLAGS, "ours", "beside them", default="default")
    assert "pictures a step (default: 64)" in ours.format_help() and "beside them" in ours.format_help()
