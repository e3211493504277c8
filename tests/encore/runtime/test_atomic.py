import json
import os

import pytest

from encore.runtime.atomic import replacing, write_json


def test_keeps_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("in the middle")
    assert path.read_bytes() == b"old"
    assert os.listdir(str(tmp_path)) == ["file"]


def test_nothing_is_visible_before_the_end(tmp_path):
    path = tmp_path / "file"
    with replacing(path, "w") as file:
        file.write("ä")
        assert not path.exists()
    assert path.read_bytes() == "ä".encode("utf-8")


def test_json_is_sorted_and_refuses_nan(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"b": 1, "a": [0.5]})
    assert list(json.loads(path.read_text())) == ["a", "b"]
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text())["b"] == 1
