"""bin/mini, which runs the mini pipeline with its stages two at a time."""

import shutil

import pytest

from tests.bin.pipeline_project import NEEDED, Pipelines, most_at_once, stages_of

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make, as `make mini` does")


@pytest.fixture
def project(tmp_path):
    return Pipelines(tmp_path)


def test_every_stage_is_made_once_after_what_it_needs_and_two_at_a_time(project):
    result, log = project.run("mini")
    assert result.returncode == 0, result.stderr
    assert log[0] == "start status --quiet mini/dvc.yaml on none"
    made = stages_of(log)
    assert sorted(name for act, name, _ in made if act == "start") == sorted(NEEDED)
    assert most_at_once(made) == 2
    trainings = [made.index(("start", name, "none")) for name in NEEDED if name.startswith("train")]
    ends = [made.index(("end", name, "none")) for name in NEEDED if name.startswith("train")]
    assert max(trainings) < min(ends)


def test_what_is_up_to_date_is_left_alone(project):
    result, log = project.run("mini", status="0")
    assert result.returncode == 0
    assert [line for line in log if line.startswith("start")] == [
        "start status --quiet mini/dvc.yaml on none"
    ]


def test_a_stage_that_fails_ends_the_run(project):
    result, log = project.run("mini", broken="generate")
    assert result.returncode != 0
    assert not any("train" in line or "extract" in line for line in log)
