"""bin/copy-project, which copies what belongs to the project and nothing that was made or downloaded."""

import os
import shutil

import pytest

from tests.bin.scripts import copy_of, run


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    copy_of("bin/copy-project", root)
    for name in ("kept", "folder/with a blank", "folder/two\nlines", ".venv/lib", ".envs/x/lib", ".images/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to("nowhere")
    return root


def copied(project):
    target = project.parent / "copy"
    target.mkdir()
    done = run(project / "bin" / "copy-project", "copy", cwd=project.parent)
    assert (done.returncode, done.stderr) == (0, "")
    files = {str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir()}
    assert os.readlink(str(target / "link")) == "nowhere"
    assert os.access(str(target / "bin" / "copy-project"), os.X_OK)
    return files


def test_without_git_everything_but_the_environments(project):
    assert copied(project) == {"bin/copy-project", "kept", "folder/with a blank", "folder/two\nlines", "link"}


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_with_git_its_files_as_they_are_now(project):
    (project / ".gitignore").write_text("/.venv/\n/.envs/\n/.images/\n/made\n")
    (project / "made").write_text("by a run")
    (project / "deleted").write_text("")
    assert run("git", "init", "--quiet", cwd=project).returncode == 0
    assert run("git", "add", "kept", "deleted", "link", cwd=project).returncode == 0
    (project / "deleted").unlink()
    (project / "kept").write_text("changed since")
    assert copied(project) == {
        *(".gitignore", "bin/copy-project", "kept", "folder/with a blank", "folder/two\nlines", "link")
    }
    assert (project.parent / "copy" / "kept").read_text() == "changed since"


def test_a_folder_that_does_not_exist(project):
    done = run(project / "bin" / "copy-project", project.parent / "gone")
    assert done.returncode != 0 and "gone" in done.stderr
