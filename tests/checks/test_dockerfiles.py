from __future__ import annotations

import re
import shlex

import pytest

from checks.dockerfiles import dockerfile_problems
from checks.size import PROJECT
from tests.checks.test_verify import run

DOCKERFILES = sorted(PROJECT.glob("Dockerfile.*"))
GOOD = """# An image.
ARG BASE_IMAGE=ubuntu:22.04
FROM ${BASE_IMAGE}
ARG LOCK_DIGEST=abc
COPY locks /opt/encore/locks
ARG USER_ID=1000
USER ${USER_ID}
HEALTHCHECK CMD ["true"]
LABEL org.opencontainers.image.revision=x \\
      encore.lock=${LOCK_DIGEST}
"""
NEWEST = "is whatever is newest that day: name a version or a digest"


@pytest.fixture
def problems(tmp_path):
    """A function: the problems of GOOD with one text in place of another."""

    def check(old="", new=""):
        assert old in GOOD
        path = tmp_path / "Dockerfile.x"
        path.write_text(GOOD.replace(old, new) if old else GOOD)
        return dockerfile_problems(path)

    return check


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_dockerfiles_of_this_project(path):
    assert dockerfile_problems(path) == []


def test_there_are_two_of_them():
    assert [path.name for path in DOCKERFILES] == ["Dockerfile.cuda101", "Dockerfile.cuda118"]


@pytest.mark.parametrize(
    "base",
    [
        "ubuntu:22.04",
        "localhost:5000/ubuntu:22.04",
        "ubuntu@sha256:" + "0" * 64,
        '"ubuntu:22.04"',
        "nvidia/cuda:10.1-cudnn7-devel-ubuntu18.04",
    ],
)
def test_a_base_of_a_version_passes(problems, base):
    assert problems("BASE_IMAGE=ubuntu:22.04", f"BASE_IMAGE={base}") == []
    assert problems("FROM ${BASE_IMAGE}", f"FROM --platform=linux/amd64 {base} AS last") == []


@pytest.mark.parametrize("base", ["ubuntu:latest", "ubuntu", "localhost:5000/ubuntu", "host:5000/a/b:latest"])
def test_a_base_without_a_version(problems, base):
    expected = [f"Dockerfile.x: the base image {base} {NEWEST}"]
    assert problems("BASE_IMAGE=ubuntu:22.04", f"BASE_IMAGE={base}") == expected
    assert problems("${BASE_IMAGE}", base) == expected


def test_a_base_without_a_default(problems):
    assert problems("ARG BASE_IMAGE=ubuntu:22.04\n") == [
        f"Dockerfile.x: the base image ${{BASE_IMAGE}} {NEWEST}"
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("FROM ${BASE_IMAGE}\n", "", "no FROM line"),
        ("# An image.", "# syntax=docker/dockerfile:1", "a `# syntax` line makes the build fetch a builder"),
        ("# An image.", "#syntax = docker/dockerfile:1", "a `# syntax` line makes the build fetch a builder"),
        ("COPY locks", "RUN cat <<END\ntext\nEND\nCOPY locks", "a heredoc needs a newer builder"),
        ("COPY locks /opt/encore/locks", "COPY <<END /opt/x\ntext\nEND", "a heredoc needs a newer builder"),
        ("COPY locks", "ADD locks", "ADD fetches and unpacks unasked: use COPY"),
        ("USER ${USER_ID}\n", "", "it ends as root: add a USER line"),
        ("USER ${USER_ID}", "USER root", "it ends as root: add a USER line"),
        ("USER ${USER_ID}", "USER encore\nUSER 0", "it ends as root: add a USER line"),
        ("USER_ID=1000", "USER_ID=0", "it ends as root: add a USER line"),
        ("USER ${USER_ID}", "USER 0:0", "it ends as root: add a USER line"),
        ("ARG USER_ID=1000\n", "", "it ends as root: add a USER line"),
        ("HEALTHCHECK", "# HEALTHCHECK", "no HEALTHCHECK: let it print the environment check"),
        (
            'HEALTHCHECK CMD ["true"]',
            "HEALTHCHECK NONE",
            "no HEALTHCHECK: let it print the environment check",
        ),
        ("encore.lock", "encore.key", "no label encore.lock: the launcher compares it with the lock"),
        ("image.revision", "image.title", "no label org.opencontainers.image.revision"),
        ("ARG LOCK_DIGEST=abc", "ENV LOCK_DIGEST=abc", "no ARG LOCK_DIGEST: the build compares the lock"),
    ],
)
def test_a_broken_rule_is_named(problems, old, new, problem):
    (line,) = problems(old, new)
    assert line.startswith(f"Dockerfile.x: {problem}") and "\n" not in line


def test_the_default_of_a_base_counts(problems):
    assert problems("${BASE_IMAGE}", "${OTHER:-ubuntu:22.04}") == []
    assert problems("${BASE_IMAGE}", "${OTHER:-ubuntu:latest}") == [
        f"Dockerfile.x: the base image ubuntu:latest {NEWEST}"
    ]


def test_root_for_some_lines_is_no_problem(problems):
    assert problems("USER ${USER_ID}", "USER root\nRUN true\nUSER ${USER_ID}") == []


def test_the_command(tmp_path, capsys):
    (tmp_path / "Dockerfile.a").write_text(GOOD)
    assert run("dockerfiles", "--root", tmp_path) == 0
    (tmp_path / "Dockerfile.b").write_text(GOOD.replace("22.04", "latest"))
    (tmp_path / "Dockerfile.c").write_text(GOOD.replace("USER", "# USER"))
    assert run("dockerfiles", "--root", tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"encore: Dockerfile.b: the base image ubuntu:latest {NEWEST}",
        "encore: Dockerfile.c: it ends as root: add a USER line with an ordinary user",
    ]


def test_the_command_in_a_folder_without_any(tmp_path, capsys):
    assert run("dockerfiles", "--root", tmp_path) == 2
    assert "there is no Dockerfile.<environment>" in capsys.readouterr().err


def test_the_command_takes_this_project_by_default(capsys):
    assert run("dockerfiles") == 0 and capsys.readouterr().err == ""


# ---- .dockerignore


def copied(path):
    """The sources of every COPY line of a Dockerfile."""
    text = path.read_text().replace("\\\n", " ")
    lines = [shlex.split(line)[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    return [word for words in lines for word in words if not word.startswith("--")]


def sent(name):
    """Whether a path reaches the builder: the last line that matches it, or a folder above it, decides."""
    reaches = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!")
        if not pattern or pattern.startswith("#"):
            continue
        expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.match(f"{expression}(/|$)", name):
            reaches = line.startswith("!")
    return reaches


def test_the_builder_gets_nothing_that_is_not_named():
    first = next(
        line
        for line in (PROJECT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert first == "*"
    for name in ("raw/train/0.jpg", ".venv/bin/python", "mini/data/x", "src/x.py", "src/encore/x.py",
                 ".git/x", "README.md", ".dvc/cache/x", "src/encore/runtime/__pycache__/x.pyc"):  # fmt: skip
        assert not sent(name), name


FOR_THE_PROJECT_ALONE = r"locks/(.*\.override|accepted_vulnerabilities\.yaml)"
"""Beside what the images need, and in none: what a lock is made with, what its audit accepts."""


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_builder_gets_what_is_copied(path):
    sources = copied(path)
    assert {"locks", "src/encore/runtime", "containers/add-user"} <= set(sources)
    for source in sources:
        files = [file for file in (PROJECT / source, *(PROJECT / source).rglob("*.*")) if file.is_file()]
        assert files, source
        for file in files:
            name = file.relative_to(PROJECT).as_posix()
            assert sent(name) or "__pycache__" in name or re.fullmatch(FOR_THE_PROJECT_ALONE, name), name
