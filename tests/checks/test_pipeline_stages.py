"""The stages of a dvc.yaml, as DVC itself makes them of it."""

from __future__ import annotations

import pytest
import yaml

from checks.lineage import lineage
from checks.pipeline_stages import pipeline_stages, read_pipeline
from checks.runs.dvc_lock import read_lock
from encore.runtime.refusal import Refusal

STAGES = {
    "plain": {"cmd": "x", "outs": ["${a.flag}/plain"]},
    "each": {"foreach": "${a.runs}", "do": {"cmd": "${key} ${item.n}", "outs": ["each/${key}/${item.n}"]}},
    "listed": {"foreach": [True, 2, "${a.name}"], "do": {"cmd": "x ${item}", "outs": ["listed/${item}"]}},
    "numbered": {"foreach": [{"n": 1}, {"n": 2}], "do": {"cmd": "x", "outs": ["numbered/${item.n}"]}},
    "inline": {"foreach": {"k": False}, "do": {"cmd": "x", "outs": ["inline/${key}/${item}"]}},
    "crossed": {
        "matrix": {"one": "${a.tags}", "two": ["x", {"deep": 1}], "three": [False]},
        "cmd": "x",
        "outs": ["crossed/${key}"],
    },
}
PARAMETERS = {
    "a": {"runs": {"r1": {"n": 1}, "r2": {"n": True}}, "tags": ["t", 5], "name": "called", "flag": True}
}


def write(folder, stages=STAGES, parameters=PARAMETERS):
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    return folder


def test_the_stages_and_their_outputs_are_those_that_dvc_makes(tmp_path):
    from dvc.repo import Repo

    Repo.init(str(write(tmp_path)), no_scm=True)
    with Repo(str(tmp_path)) as repo:
        wanted = {stage.name: [out.def_path for out in stage.outs] for stage in repo.index.stages}
    assert [*pipeline_stages(tmp_path)] == [*wanted]
    for name, (path,) in wanted.items():
        (found,) = [
            stage for stage in lineage(tmp_path, path).stages if stage.startswith(name.partition("@")[0])
        ]
        assert found == ("crossed" if name.startswith("crossed") else name)


def test_a_pipeline_without_parameters_needs_no_file_of_them(tmp_path):
    write(tmp_path, {"keep": {"foreach": {"x": "models/x"}, "do": {"cmd": "cp ${item}", "outs": ["${key}"]}}})
    (tmp_path / "params.yaml").unlink()
    assert pipeline_stages(tmp_path) == {"keep@x": "data"}


def test_a_pipeline_is_read_again_when_a_file_of_it_changed(tmp_path):
    first = read_pipeline(write(tmp_path))
    assert read_pipeline(tmp_path) is first
    write(tmp_path, parameters={"a": {**PARAMETERS["a"], "runs": {"other": {"n": 1}}}})
    assert "each@other" in pipeline_stages(tmp_path)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("text", "stages.bad: expected a mapping"),
        (None, "stages.bad: expected a mapping"),
        ({"foreach": [1]}, "stages.bad.do: expected a mapping"),
        ({"foreach": [1], "do": "x"}, "stages.bad.do: expected a mapping"),
        ({"foreach": "${a.gone}", "do": {}}, "stages.bad.foreach: ${a.gone} is no list or mapping"),
        ({"foreach": None, "do": {}}, "stages.bad.foreach: None is no list or mapping"),
        ({"matrix": [1]}, "stages.bad.matrix: expected a mapping"),
        ({"matrix": {"one": "x"}}, "stages.bad.matrix.one: x is no list or mapping"),
        ({"outs": "models"}, "stages.bad.outs: expected a list"),
        ({"deps": [1]}, "stages.bad.deps[0]: expected text"),
        ({"metrics": [{}]}, "stages.bad.metrics[0]: expected text"),
    ],
)
def test_a_stage_that_is_none_is_refused_by_file_and_key(tmp_path, stage, said):
    write(tmp_path, {"bad": stage})
    for read in (pipeline_stages, lambda folder: lineage(folder, "metrics/a.json")):
        with pytest.raises(Refusal) as found:
            read(tmp_path)
        assert said in str(found.value) and str(tmp_path / "dvc.yaml") in str(found.value)


def test_what_dvc_lock_still_says_of_a_stage_that_is_gone_is_not_believed(tmp_path):
    write(tmp_path)
    rows = {name: {"cmd": name} for name in ("plain", "each@r1", "each@gone", "gone")}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": rows}))
    assert sorted(read_lock(tmp_path)) == ["each@r1", "plain"]
    write(tmp_path, {"gone": {"cmd": "x"}})
    assert sorted(read_lock(tmp_path)) == ["gone"]
    (tmp_path / "dvc.yaml").unlink()  # a folder of results alone
    assert sorted(read_lock(tmp_path)) == sorted(rows)
