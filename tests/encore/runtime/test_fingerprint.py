import os
import subprocess

from encore.runtime.fingerprint import fingerprint, machine, revision


def git(folder, *arguments):
    subprocess.run(
        ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c") + arguments,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def write(path, text):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    path.write_text(text)


def test_files_that_a_run_writes_do_not_make_it_dirty_but_code_does(tmp_path):
    code = ("src/encore/metrics/micro_ap.py", "checks/report/page.py")
    tracked = ("mini/dvc.lock", "mini/metrics/a.json") + code
    for name in tracked:
        write(tmp_path / name, "one")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert revision(str(tmp_path))["dirty"] is False and len(revision(str(tmp_path))["revision"]) == 40
    for name in tracked[:2]:
        write(tmp_path / name, "two")
    assert revision(str(tmp_path))["dirty"] is False
    for name in tracked[2:]:
        write(tmp_path / name, "two")
        assert revision(str(tmp_path))["dirty"] is True
        write(tmp_path / name, "one")


def test_without_git(tmp_path):
    assert revision(str(tmp_path)) == {"revision": "no git", "dirty": False}


def test_names_what_a_result_may_depend_on(monkeypatch):
    import numpy

    values = fingerprint()
    assert values["libraries"]["numpy"] == numpy.__version__
    assert {"python", "processor", "cores", "revision", "dirty", "image_digest"} <= set(values)
    monkeypatch.setenv("ENCORE_MACHINE", "a host")
    other = machine()
    assert other != values["machine"] and len(other) == 12
