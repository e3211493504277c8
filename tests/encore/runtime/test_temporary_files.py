import os
import subprocess
import sys
import tempfile

import pytest

from encore.runtime.temporary_files import own_temporaries


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_temporary_files_of_a_run_lie_in_one_folder_and_go_with_it(tmp_path):
    with own_temporaries("work") as place:
        assert os.path.dirname(place) == str(tmp_path / "tmp") and os.stat(place).st_mode & 0o777 == 0o700
        with tempfile.NamedTemporaryFile() as file:
            assert os.path.dirname(file.name) == place
        assert os.environ["TMPDIR"] == place
    assert os.listdir(str(tmp_path / "tmp")) == [] and os.environ["TMPDIR"] == str(tmp_path / "tmp")


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    with own_temporaries("work") as place:
        pass
    os.makedirs(os.path.join(place, "pymp-x"))
    open(os.path.join(place, "pymp-x", "listener"), "w").close()
    open(os.path.join(place, "half"), "w").close()
    with own_temporaries("work") as again:
        assert again != place and os.listdir(str(tmp_path / "tmp")) == [os.path.basename(again)]


def test_another_run_has_another_folder():
    with own_temporaries("work") as one, own_temporaries("other") as other:
        assert one != other


def test_what_somebody_else_put_there_is_left_alone(tmp_path):
    with own_temporaries("work") as place:
        pass
    (tmp_path / "kept").mkdir()
    os.symlink(str(tmp_path / "kept"), place)
    with own_temporaries("work") as found:
        assert found not in (None, place)
    assert os.path.islink(place) and (tmp_path / "kept").is_dir()


def test_nothing_is_left_when_the_process_ends(tmp_path):
    program = (
        "from encore.runtime.temporary_files import own_temporaries\n"
        "import multiprocessing.util\n"
        "with own_temporaries('work'):\n"
        "    multiprocessing.util.get_temp_dir()\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    run = subprocess.run([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, check=True)
    assert run.stderr == b"" and os.listdir(str(tmp_path / "tmp")) == []


@pytest.mark.parametrize("left", ["", "; multiprocessing.util.get_temp_dir()"])
def test_a_process_that_ends_later_leaves_the_next_run_its_files(left):
    """One run has ended and its process lives on, with or without a file there, while the next one runs."""
    program = (
        "import multiprocessing.util, sys\n"
        "from encore.runtime.temporary_files import own_temporaries\n"
        "with own_temporaries('work'): pass" + left + "\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-c", program]
    first = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    first.stdout.readline()
    with own_temporaries("work") as place, tempfile.NamedTemporaryFile() as file:
        first.communicate()
        assert first.returncode == 0 and os.listdir(place) == [os.path.basename(file.name)]
