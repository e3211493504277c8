import errno
import json
import os
import resource
import signal

import numpy
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


def test_what_a_killed_process_left_is_used_up(tmp_path):
    path = tmp_path / "file"
    (tmp_path / "file.tmp-writing").write_bytes(b"half of something that was longer")
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and os.listdir(str(tmp_path)) == ["file"]


def test_two_writers_at_once_do_not_mix(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first:
        first.write(b"first")
        with replacing(path) as second:
            second.write(b"the second")
        assert path.read_bytes() == b"the second"
    assert path.read_bytes() == b"first" and os.listdir(str(tmp_path)) == ["file"]


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("encore.runtime.atomic.fcntl.flock", refuse)
    with replacing(tmp_path / "file", "w") as file:
        file.write("x")
    assert (tmp_path / "file").read_text() == "x"
    assert os.listdir(str(tmp_path)) == ["file"]


def test_without_locks_two_writers_at_once_do_not_mix(tmp_path, monkeypatch):
    path = tmp_path / "file"

    def refuse(descriptor, operation):
        (tmp_path / "file.tmp-writing").unlink()  # as the other writer does, which was as far
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("encore.runtime.atomic.fcntl.flock", refuse)
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"the second")
    assert path.read_bytes() == b"first" and os.listdir(str(tmp_path)) == ["file"]


def test_an_error_removes_no_file_of_another_writer(tmp_path, monkeypatch):
    path, remove = tmp_path / "file", os.unlink

    def beside_another(name):
        """Another writer begins when the failed one is about to remove its temporary file."""
        monkeypatch.setattr("encore.runtime.atomic.os.unlink", remove)
        with replacing(path) as other:
            other.write(b"of the other")
            remove(name)

    monkeypatch.setattr("encore.runtime.atomic.os.unlink", beside_another)
    with pytest.raises(RuntimeError):
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("in the middle")
    assert path.read_bytes() == b"of the other" and os.listdir(str(tmp_path)) == ["file"]


def test_an_error_of_the_file_system_names_the_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(OSError) as failed:
        with replacing(path):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert failed.value.filename == str(path) and os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("rows", [8, 20000])
def test_an_array_that_does_not_fit_is_never_cut_short(tmp_path, rows):
    """numpy alone says nothing when the last bytes of an array do not fit."""
    path = str(tmp_path / "array.npy")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))
        try:
            with replacing(path) as file:
                numpy.save(file, numpy.arange(rows))
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == errno.EFBIG and os.listdir(str(tmp_path)) == []
