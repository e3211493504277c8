"""The workflows on GitHub, and .ci/run, which does the same on any machine."""

from __future__ import annotations

import re
import subprocess

import pytest

from checks.cli import COMMANDS
from checks.size import PROJECT
from checks.yaml_file import read_yaml

FOLDER = PROJECT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"actions/[\w-]+@v\d+")
TARGETS = set(re.findall(r"^([a-z][\w-]*):(?!=)", (PROJECT / "Makefile").read_text(), re.M))
MAKE = re.compile(r"(?:^ *|&& |\|\| )make ([a-z][a-z\- ]*)", re.M)
ENCORE = re.compile(r"\.venv/bin/encore ([a-z]+)((?: +\S+)*)")


def workflow(path):
    """A workflow; YAML 1.1 takes its key `on` for true."""
    value = read_yaml(path, "a workflow")
    value["on"] = value.pop(True)
    return value


def steps(path):
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def problems(text):
    """What a shell text calls that is not there."""
    made = {target for targets in MAKE.findall(text) for target in targets.split()}
    called = {command for command, _ in ENCORE.findall(text)}
    return sorted(made - TARGETS) + sorted(called - set(COMMANDS))


def test_both_workflows_are_there():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "weekly.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_major_version_and_every_command_exists(path):
    uses = [step["uses"] for step in steps(path) if "uses" in step]
    runs = [step["run"] for step in steps(path) if "run" in step]
    assert uses and all(map(PINNED.fullmatch, uses)), uses
    assert runs and [name for text in runs for name in problems(text)] == []
    assert all(("uses" in step) != ("run" in step) for step in steps(path))


@pytest.mark.parametrize(
    "text, missing",
    [
        ("make tset", ["tset"]),
        ("x || make images", []),
        ("make lint pul", ["pul"]),
        (".venv/bin/encore verfy mini", ["verfy"]),
    ],
)
def test_a_command_that_does_not_exist_is_found(text, missing):
    assert problems(text) == missing


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_only_read_unless_it_says_so_and_ends_in_time(path):
    value = workflow(path)
    assert value["permissions"] == {"contents": "read"}
    for name, job in value["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 120, name
        assert job.get("permissions", {}) == ({"pull-requests": "write"} if name == "comment" else {}), name
        for step in job["steps"]:  # a text that a stranger chose is never put into a shell line
            assert "${{" not in step.get("run", ""), (name, step)


def test_code_of_a_fork_never_meets_a_token_that_writes():
    value = workflow(FOLDER / "ci.yml")
    assert set(value["on"]) == {"push", "pull_request"}  # not pull_request_target
    comment = value["jobs"]["comment"]
    assert "head.repo.full_name == github.repository" in comment["if"]
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])


def test_the_verdict_table_is_always_shown():
    mini = workflow(FOLDER / "ci.yml")["jobs"]["mini"]["steps"]
    shown = [step for step in mini if re.search("verify mini|SUMMARY", step.get("run", ""))]
    assert len(shown) == 2 and all(step["if"] == "always()" for step in shown)
    assert "--markdown mini/report/verdicts.md" in shown[0]["run"] and "verdicts.md" in shown[1]["run"]


def test_the_tests_run_on_every_python_that_is_supported():
    matrix = workflow(FOLDER / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]


def test_the_week_rebuilds_images_and_checks_links_and_locks():
    value = workflow(FOLDER / "weekly.yml")
    minute, hour, day, month, weekday = value["on"]["schedule"][0]["cron"].split()
    assert minute.isdigit() and hour.isdigit() and (day, month) == ("*", "*") and weekday in "0123456"
    text = "\n".join(step.get("run", "") for step in steps(FOLDER / "weekly.yml"))
    for command in ("make images", "encore links --online", "make locks-check", "make pull"):
        assert command in text


def test_the_script_for_any_machine_is_sound_and_runs_what_the_workflow_runs():
    script = PROJECT / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    assert problems(text) == []
    here = {target for targets in MAKE.findall(text) for target in targets.split()}
    runs = "\n".join(step.get("run", "") for step in steps(FOLDER / "ci.yml"))
    there = {target for targets in MAKE.findall(runs) for target in targets.split()}
    assert here >= there >= {"lint", "locks-check", "test", "mini", "legacy-test", "images"}
    assert {call for call, _ in ENCORE.findall(runs)} <= {call for call, _ in ENCORE.findall(text)}


@pytest.mark.parametrize("target", ["pull", "reference"])
def test_the_artefact_targets_name_their_remote(target):
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text(), re.M).group(1)
    assert "--remote mini mini/dvc.yaml" in recipe  # whatever remote the user has set
