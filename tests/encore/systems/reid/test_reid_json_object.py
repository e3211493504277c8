import pytest

from encore.runtime.refusal import Refusal
from encore.systems.reid.json_object import read_json, refuse_no_object


def test_an_object_is_read(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"a": [1, {"b": null}]}')
    assert read_json(path) == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    "text, message",
    [
        ("3", "expected an object of keys and values, found 3"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice in one block"),
        ('{"a": [0, NaN]}', "a.1: expected a finite number, found nan"),
        ('{"a": 1', r"not valid JSON: .* \(line 1, column \d+\)"),
    ],
)
def test_anything_else_is_refused_with_the_file(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(Refusal, match="^[^\n]*file.json: " + message):
        read_json(str(path))
    with pytest.raises(Refusal, match="lost.json: cannot be read as JSON"):
        read_json(str(tmp_path / "lost.json"))


def test_values_from_elsewhere():
    refuse_no_object({"a": 1.5})
    with pytest.raises(Refusal, match="^a: expected a finite number"):
        refuse_no_object({"a": float("inf")})
