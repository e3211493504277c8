from __future__ import annotations

import pytest

from checks.cli import main
from checks.dependencies import load, stage_module, stale_stages, update
from checks.imports import imported_modules, transitive_files
from encore.runtime.refusal import Refusal

DVC = """# the pipeline
stages:
  # first stage
  make:
    cmd: PYTHONPATH=${root}/src:${root} ${python.x} -m stages.toy.make
    deps:
      - inputs/photos.json  # raw data
      - "${lock.x}"
    outs: [data]

  # second stage
  use:
    matrix: {model: [a, b]}
    cmd: ${python.x} -m stages.toy.use ${item.model}
    deps: [data]
  check:
    cmd: python -m checks data --size .
    outs: [inputs]
  other:
    cmd: echo done
    deps: [data]
"""


@pytest.fixture
def project(tmp_path):
    files = {
        "dvc.yaml": DVC,
        "stages/__init__.py": '"""Stages."""\n',
        "stages/toy/__init__.py": '"""Toy."""\n',
        "stages/toy/make.py": "from encore.data import shards\n\n"
        "def main():\n    import encore.runtime.seeds as s\n",
        "stages/toy/use.py": "from encore.data.shards import ShardSet\nimport numpy\n",
        "src/encore/__init__.py": '"""Encore."""\n',
        "src/encore/data/__init__.py": "from encore.data import names\n",
        "src/encore/data/shards.py": "from .manifest import Manifest\nfrom . import deep\n",
        "src/encore/data/manifest.py": "import json\n",
        "src/encore/data/names.py": "A = 1\n",
        "src/encore/data/deep/__init__.py": "from ..manifest import Manifest\n",
        "src/encore/runtime/__init__.py": "",
        "src/encore/runtime/seeds.py": "import hashlib\n",
        "checks/data.py": "from encore.data.manifest import Manifest\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_inside_functions_relative_ones_and_packages_count(project):
    found = [str(path.relative_to(project)) for path in transitive_files(project, "stages.toy.make")]
    # encore/runtime/__init__.py and the packages with a docstring alone hold nothing to depend on.
    assert found == [
        "src/encore/data/__init__.py",
        "src/encore/data/deep/__init__.py",
        "src/encore/data/manifest.py",
        "src/encore/data/names.py",
        "src/encore/data/shards.py",
        "src/encore/runtime/seeds.py",
        "stages/toy/make.py",
    ]


def test_imported_names_may_be_modules():
    source = "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\n"
    assert imported_modules(source, "x.y.z") == {"a.b", "c", "c.d", "x.y", "x.y.e", "x.f", "x.f.g"}
    assert imported_modules("from . import e\n", "x.y", is_package=True) == {"x.y", "x.y.e"}


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("A=b ${python.x} -m stages.toy.make --params p", "stages.toy.make"),
        ("python -m checks data --size .", "checks.data"),
        (["echo", "python -m stages.a.b"], "stages.a.b"),
        ("echo hello", None),
        ("python -m pip list", None),
    ],
)
def test_the_module_of_a_command(command, module):
    assert stage_module(command) == module


def test_write_then_check(project, capsys):
    assert update(project / "dvc.yaml", project) == ["make", "use", "check"]
    assert stale_stages(project, load(project / "dvc.yaml")) == {}
    text = (project / "dvc.yaml").read_text()
    assert "# the pipeline\nstages:\n  # first stage\n" in text and "\n\n  # second stage\n" in text
    assert "- inputs/photos.json  # raw data" in text
    stages = load(project / "dvc.yaml")["stages"]
    assert list(stages["check"]["deps"]) == [
        "${root}/checks/data.py",
        "${root}/src/encore/data/__init__.py",
        "${root}/src/encore/data/manifest.py",
        "${root}/src/encore/data/names.py",
    ]
    assert list(stages["make"]["deps"])[-2:] == ["inputs/photos.json", "${lock.x}"]
    assert list(stages["other"]["deps"]) == ["data"]
    assert update(project / "dvc.yaml", project) == [] and (project / "dvc.yaml").read_text() == text
    assert run(project) == 0


def test_a_new_and_a_dropped_import_make_a_stage_stale(project, capsys):
    update(project / "dvc.yaml", project)
    (project / "stages/toy/use.py").write_text("import encore.runtime.seeds\n")
    assert run(project) == 1
    printed = capsys.readouterr().err
    assert (
        printed.startswith("encore: use: stale: lacks ['${root}/src/encore/runtime/seeds.py']")
        and "shards.py" in printed
    )
    assert run(project, "--write") == 0
    assert run(project) == 0


def test_comments_after_a_list_survive_when_its_last_entry_changes(project):
    text = DVC.replace('      - "${lock.x}"\n    outs: [data]\n', "      - ${root}/src/encore/gone.py\n")
    (project / "dvc.yaml").write_text(text)
    update(project / "dvc.yaml", project)
    found = (project / "dvc.yaml").read_text()
    assert "gone.py" not in found and "\n\n  # second stage\n  use:" in found


@pytest.mark.parametrize("before", ["nothing", "a link", "an older text"])
def test_mini_holds_a_copy_of_the_file(project, capsys, before):
    (project / "mini").mkdir()
    mini = project / "mini/dvc.yaml"
    if before == "a link":
        mini.symlink_to("../dvc.yaml")
    elif before == "an older text":
        mini.write_text("stages: {}\n")
    assert run(project, "--write") == 0 and "mini/dvc.yaml: rewritten" in capsys.readouterr().out
    assert not mini.is_symlink() and mini.read_bytes() == (project / "dvc.yaml").read_bytes()
    assert run(project) == 0
    mini.write_text("stages: {}\n")
    assert run(project) == 1 and "mini/dvc.yaml: not a copy of dvc.yaml" in capsys.readouterr().err


def test_a_stage_that_does_not_exist_and_a_missing_file_are_refused(project):
    (project / "stages/toy/use.py").unlink()
    with pytest.raises(Refusal, match="-m stages.toy.use"):
        stale_stages(project, load(project / "dvc.yaml"))
    with pytest.raises(Refusal, match="no such file"):
        load(project / "nowhere.yaml")


def test_a_broken_file_is_refused_by_line(project):
    (project / "src/encore/runtime/seeds.py").write_text("import os\nfor x in: pass\n")
    with pytest.raises(Refusal, match="seeds.py: line 2: not Python"):
        transitive_files(project, "stages.toy.make")


def run(project, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["dependencies", "--root", str(project), *arguments])
    return end.value.code
