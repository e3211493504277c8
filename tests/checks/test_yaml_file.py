"""What cannot be read as YAML is refused in one line that names the file, and so is a key said twice."""

from __future__ import annotations

import pytest

from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal


def refusal(path):
    with pytest.raises(Refusal) as found:
        read_yaml(path, "no such file: write it")
    text = str(found.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: [", "not YAML"),
        (b"a: \xff\xfe", "not UTF-8"),
        (b"a: 1\nb: 2\na: 3\n", "a: this key is there twice (lines 1 and 3): keep one"),
        (b"s:\n  t: {u: 1, v: 2, u: 1}\n", "u: this key is there twice (lines 2 and 2)"),
        (b"base: &b {x: 1}\nsub: {<<: *b, y: 1, y: 2}\n", "y: this key is there twice"),
        (b"- {one: 1, one: 1}\n", "one: this key is there twice"),
        (b"day: 2026-13-45\n", "not YAML: ValueError"),
        (b"a: !!int x\n", "not YAML"),
        (b"[" * 3000, "not YAML"),
    ],
)
def test_what_is_no_yaml_or_says_a_key_twice_is_refused_by_file(tmp_path, data, said):
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    assert said in refusal(path)


def test_a_folder_and_no_file_are_refused(tmp_path):
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    assert "no such file: write it" in refusal(tmp_path / "none.yaml")


def test_keys_that_only_look_alike_and_keys_merged_in_are_no_repetition(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "one: &one {x: 1, y: 1}\n"
        "deep: {two: &two {<<: *one, x: 2}}\n"
        "three: {<<: *two, x: 3}\n"  # merged before `two` itself is made
        "four: {1: a, '1': b}\n"
    )
    found = read_yaml(path, "")
    assert found["three"] == {"x": 3, "y": 1} and found["deep"]["two"] == {"x": 2, "y": 1}
    assert found["four"] == {1: "a", "1": "b"}
