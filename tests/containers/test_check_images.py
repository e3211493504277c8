"""containers/check-images --passed: whether what makes the images is as it was when all checks passed."""

import hashlib
import json

import pytest

from tests.bin.scripts import copy_of, run, script

INPUTS = (".dockerignore", "Dockerfile.cuda101", "bin/in-image", "containers/add-user", "locks/cuda101.txt")


@pytest.fixture
def project(tmp_path):
    copy_of("containers/check-images", tmp_path)
    for name in (*INPUTS, "README.md", "containers/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def passed(project):
    return run(project / "containers" / "check-images", "--passed", cwd="/")


def put_on_record(project):
    lines = [
        "{}  {}\n".format(hashlib.sha256((project / name).read_bytes()).hexdigest(), name)
        for name in sorted((*INPUTS, "containers/check-images"))
    ]
    record = {"date": "2026-01-02T03:04:05Z", "inputs": hashlib.sha256("".join(lines).encode()).hexdigest()}
    (project / "containers" / "passed.json").write_text(json.dumps(record, indent=1))


def test_without_a_record_they_have_not_passed(project):
    done = passed(project)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_nothing_has_changed_since_the_record(project):
    put_on_record(project)
    (project / "README.md").write_text("changed")
    (project / "containers" / "__pycache__" / "x.pyc").write_text("changed")
    done = passed(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "images: not built: no Dockerfile, lock, launcher or container script has changed"
    )
    assert "2026-01-02T03:04:05Z" in done.stdout


@pytest.mark.parametrize("name", INPUTS)
def test_a_change_takes_the_pass_away(project, name):
    put_on_record(project)
    (project / name).write_text("changed")
    assert passed(project).returncode == 1


@pytest.mark.parametrize(
    "name", ["Dockerfile.cuda118", "locks/new.in", "bin/new", "containers/structure/x.yaml"]
)
def test_a_new_file_takes_the_pass_away(project, name):
    put_on_record(project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("")
    assert passed(project).returncode == 1


def test_what_is_accepted_of_the_locks_is_in_no_image(project):
    put_on_record(project)
    (project / "locks" / "accepted_vulnerabilities.yaml").write_text("accepted: []")
    assert passed(project).returncode == 0


def test_a_missing_file_takes_the_pass_away(project):
    put_on_record(project)
    (project / "containers" / "add-user").unlink()
    assert passed(project).returncode == 1


@pytest.mark.parametrize("text", ["", "{}", '{"inputs": ""}'])
def test_a_record_that_says_nothing(project, text):
    (project / "containers" / "passed.json").write_text(text)
    assert passed(project).returncode == 1


def test_a_daemon_of_our_own_that_stops_answering(project):
    """It does not start another one, which would do the same again."""
    script(project / "tools" / "docker", "exit 1")
    script(project / "containers" / "own-daemon", "echo started")
    check = project / "containers" / "check-images"
    path = "{}:{}".format(project / "tools", "/usr/bin:/bin")
    assert "started" in run(check, PATH=path).stdout
    done = run(check, PATH=path, ENCORE_OWN_DAEMON="yes")
    assert done.returncode == 2 and done.stderr == "encore: the Docker daemon does not answer\n"
