"""What DVC's own views need of the project's pipelines."""

from __future__ import annotations

import shutil

import pytest

from checks.size import PROJECT
from checks.yaml_file import read_yaml
from tests.dvc.tiny_project import TinyProject

PIPELINE = PROJECT / "dvc.yaml"


def bodies(path):
    stages = read_yaml(path, "the pipeline")["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def entries(kind):
    """(stage, path, options) of every entry of a kind."""
    for name, body in bodies(PIPELINE).items():
        for entry in body.get(kind, []):
            (path, options) = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            yield name, path, options


def test_every_curve_says_what_is_drawn_over_what():
    curves = list(entries("plots"))
    assert len(curves) >= 10
    for name, path, options in curves:
        assert path.startswith("plots/") and path.endswith(".csv"), name
        assert options["x"] and options["y"] and options["title"][0].isupper(), (name, path)


@pytest.mark.parametrize("kind", ["metrics", "plots"])
def test_numbers_and_curves_are_kept_so_that_revisions_can_be_compared(kind):
    lost = [path for _, path, options in entries(kind) if options.get("cache") is False]
    assert not lost, f"`dvc {kind} diff` finds nothing of these in another revision: {lost}"


def test_fingerprints_are_kept_beside_the_numbers_whose_origin_they_tell():
    lost = [path for _, path, options in entries("outs") if options.get("cache") is False]
    assert not [path for path in lost if path.startswith("fingerprints/")]


def test_mini_is_the_same_pipeline_in_a_file_that_dvc_reads_in_every_revision():
    mini = PROJECT / "mini" / "dvc.yaml"
    assert not mini.is_symlink(), "DVC does not follow a link inside a revision: every diff fails"
    assert mini.read_bytes() == PIPELINE.read_bytes()


def test_every_artifact_is_kept_by_a_stage_and_described():
    value = read_yaml(PROJECT / "weights" / "dvc.yaml", "the weights")
    stage = value["stages"]["keep"]
    assert stage["do"]["outs"] == ["${key}"]  # cached: no options
    artifacts = value["artifacts"]
    assert {row["path"] for row in artifacts.values()} == set(stage["foreach"])
    for name, row in artifacts.items():
        assert row["type"] == "model" and row["desc"] and row["labels"], name
        assert name == row["path"].replace("_", "-")
    ignored = (PROJECT / "weights" / ".gitignore").read_text().split()
    assert ignored == [f"/{key}" for key in stage["foreach"]]


def test_every_weight_that_is_gathered_lies_in_an_output_of_the_published_pipeline():
    values = read_yaml(PROJECT / "params.yaml", "the published values")
    expected = {
        "isc_track2": "models/isc_track2/trained.pth.tar",
        "isc_track1": values["isc_track1"]["stripped"],
        "isc_overlays": "models/isc_overlays",
        "fkd": f"models/fkd/students/{values['fkd']['student_names'][0]}",
        "drip": f"models/drip/{list(values['drip']['stages'])[-1]}",
        "reid": "models/reid/pcb_global_triplet",
    }
    gathered = read_yaml(PROJECT / "weights" / "dvc.yaml", "the weights")["stages"]["keep"]["foreach"]
    assert set(gathered) == set(expected)
    for system, path in gathered.items():
        assert path == expected[system] or path.startswith(expected[system] + "/"), system
    assert "pcb_global_triplet" in values["reid"]["runs"]
    written = {path.split("/${")[0] for _, path, _ in entries("outs")}
    for system, path in expected.items():
        parent = path.rpartition("/")[0]
        assert path in written or parent in written or system == "isc_track1", system
    assert any(path.startswith("${isc_track1.stripped}/") for _, path, _ in entries("outs"))


def test_the_weights_of_a_run_are_gathered_and_kept(tmp_path):
    project = TinyProject(tmp_path / "project")
    shutil.copytree(PROJECT / "weights", project.folder / "weights")
    gathered = read_yaml(project.folder / "weights" / "dvc.yaml", "the weights")["stages"]["keep"]["foreach"]
    for system, path in gathered.items():
        target = project.folder / path
        target = target if target.suffix else target / "model.pth"  # a folder of them
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(system)
    project.run("repro", "--quiet", "weights/dvc.yaml")
    for system, path in gathered.items():
        (copy,) = (copy for copy in (project.folder / "weights" / system).rglob("*") if copy.is_file())
        assert copy.read_text() == system and path.rpartition("/")[2] in copy.as_posix()
    store = project.folder / "store"
    project.run("remote", "add", "--quiet", "--default", "lab", str(store))
    pushed = project.run("push", "weights/dvc.yaml")
    assert pushed.startswith("12 files pushed")  # six folders, a file in each
