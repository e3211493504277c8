"""Bounds of JSON that others wrote: depth is counted outside of texts, in steps that grow with the length."""

import json
import time

import pytest

from encore.runtime.json_file import DEEPEST, parse_json


def nested(depth, inner=b"0"):
    return b"[" * depth + inner + b"]" * depth


@pytest.mark.parametrize(
    "text",
    [b'"[[{{"', b'"\\"[[["', b'"\\\\"', b'"\\\\\\"[[["', b'"\\\\", "["', b'"]]]"', b'"\\u005b\\n["', b'""'],
)
def test_brackets_and_escapes_in_texts_do_not_count(text):
    many = b", ".join([text] * (DEEPEST + 1))
    data = nested(DEEPEST, many)
    assert parse_json(data) == json.loads(data.decode("ascii"))
    with pytest.raises(ValueError, match="more than 100 blocks"):
        parse_json(nested(DEEPEST + 1, many))


def test_depth_is_of_lists_and_blocks_together_and_not_their_number():
    assert len(parse_json(b"[" + b"[{}]," * 10000 + b"[]]")) == 10001
    parse_json(b'{"a":[' * 50 + b"]}" * 50)
    with pytest.raises(ValueError, match="more than 100 blocks"):
        parse_json(b'{"a":[' * 51 + b"]}" * 51)


@pytest.mark.parametrize("before", [b"", b'"\\', b"\\", b'"a" \\'])
def test_no_broken_text_hides_depth_from_the_parser(before):
    """Whatever is not refused as too deep is refused by the parser before it is as deep."""
    with pytest.raises(ValueError):
        parse_json(b"[" + before + b'"' + b"[" * 200000)
    with pytest.raises(ValueError):
        parse_json(b"[" + before + b"[" * 200000)


@pytest.mark.parametrize("unit", [b'\\"', b"\\", b'"', b"a", b"\\\\", b"\\a", b'\\"["'])
def test_an_open_text_takes_steps_as_its_length(unit):
    data = b"[" * (DEEPEST + 1) + b'"' + unit * ((1 << 20) // len(unit))
    began = time.process_time()
    with pytest.raises(ValueError, match="more than 100 blocks"):
        parse_json(data)
    data = b"[]" * (DEEPEST + 1) + data[DEEPEST + 1 :]
    with pytest.raises(ValueError):
        parse_json(data)
    assert time.process_time() - began < 2


def test_numbers_of_many_digits_are_refused():
    assert parse_json(b"9" * 400) == 10**400 - 1
    with pytest.raises(ValueError, match="a whole number of 401 digits"):
        parse_json(b"9" * 401)
