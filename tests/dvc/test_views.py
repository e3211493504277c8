"""DVC's own views on a pipeline of the project's shape: two sizes, stages over a matrix and a mapping."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.dvc.tiny_project import TinyProject

PIPELINE = """stages:
  train:
    foreach: ${toy.runs}
    do:
      cmd: ${python} ${root}/train.py ${key} ${item.rate}
      deps: ["${root}/train.py"]
      params: ["toy.runs.${key}"]
      outs:
        - models/${key}: {cache: false}
      metrics:
        - metrics/train/${key}.json
      plots:
        - plots/train/${key}.csv: {x: step, y: train_loss, title: Training loss}
  test:
    matrix: {run: "${toy.tested}"}
    cmd: ${python} -c "open('metrics/test/${item.run}.json','w').write(open('models/${item.run}').read())"
    deps: ["models/${item.run}"]
    metrics:
      - metrics/test/${item.run}.json
"""
TRAIN = """import json, os, sys
run, rate = sys.argv[1], float(sys.argv[2])
for folder in ("models", "metrics/train", "metrics/test", "plots/train"):
    os.makedirs(folder, exist_ok=True)
json.dump({"score": rate}, open(f"models/{run}", "w"))
json.dump({"loss": 1 - rate}, open(f"metrics/train/{run}.json", "w"))
with open(f"plots/train/{run}.csv", "w") as file:
    file.write("step,train_loss\\n" + "".join(f"{step},{1 - rate * step / 9}\\n" for step in range(10)))
"""
PARAMS = """root: {root}
python: {python}
toy:
  runs:
    plain: {{rate: 0.25}}
    pcb: {{rate: 0.5}}
  tested: [plain, pcb]
"""
IGNORED = "mini/models/\nmini/metrics/\nmini/plots/\nhome/\nsite/\nplots.html/\n"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git, as revisions do")


class History(TinyProject):
    """A git repository with that pipeline, whose mini size has run and is committed."""

    def __init__(self, folder):
        super().__init__(folder)
        shutil.rmtree(folder / ".dvc")
        self.git("init", "--quiet", "--initial-branch=main")
        self.run("init", "--quiet")
        (folder / "mini").mkdir()
        for path, root in ((folder, "."), (folder / "mini", "..")):
            (path / "dvc.yaml").write_text(PIPELINE)
            (path / "params.yaml").write_text(PARAMS.format(root=root, python=sys.executable))
        (folder / "train.py").write_text(TRAIN)
        (folder / ".gitignore").write_text(IGNORED)
        self.run("repro", "--quiet", "mini/dvc.yaml")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=run")

    def git(self, *words):
        names = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *names, *words], cwd=self.folder, env=self.environment, check=True)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views") / "project"
    project = History(folder)
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home" / ".gitconfig").write_text("[user]\n    name = Tester\n    email = tester@example.org\n")
    return project


def test_metrics_show_lists_the_numbers_of_the_size_that_has_run(history):
    text = history.run("metrics", "show", "--json", "mini/metrics/test/pcb.json")
    shown = json.loads(text.partition("\n")[0])
    assert shown[""]["data"]["mini/metrics/test/pcb.json"]["data"] == {"score": 0.5}
    text = history.run("metrics", "show")
    assert text.count("mini/metrics/") == 4


def test_the_graph_names_every_stage_of_the_size(history):
    text = history.run("dag", "--dot", "mini/dvc.yaml")
    for run in ("plain", "pcb"):
        assert f'"mini/dvc.yaml:train@{run}" -> "mini/dvc.yaml:test@{run}"' in text
    assert "flowchart TD" in history.run("dag", "--mermaid", "mini/dvc.yaml")


def test_plots_show_draws_the_declared_columns_under_the_declared_title(history):
    text = history.run("plots", "show", "--out", "plots.html", "mini/plots/train/pcb.csv")
    page = (history.folder / "plots.html" / "index.html").read_text()
    assert "could not find" not in text
    assert '"text": "Training loss"' in page and '"field": "train_loss"' in page and '"field": "step"' in page


def test_an_experiment_sets_a_value_and_its_numbers_differ_from_the_revision(history):
    faster = "mini/params.yaml:toy.runs.pcb.rate=0.75"
    try:
        history.run("exp", "run", "--quiet", "--name", "faster", "-S", faster, "mini/dvc.yaml")
        rows = json.loads(history.run("metrics", "diff", "--json").splitlines()[-1])
        assert rows["mini/metrics/test/pcb.json"]["score"] == {"old": 0.5, "new": 0.75, "diff": 0.25}
        assert "mini/metrics/test/plain.json" not in rows  # the other run stayed as it was
        params = json.loads(history.run("params", "diff", "--json").splitlines()[-1])
        assert params["mini/params.yaml"]["toy.runs.pcb.rate"] == {"old": 0.5, "new": 0.75, "diff": 0.25}
        assert "faster" in history.run("exp", "list", "--name-only")
    finally:
        history.git("checkout", "--quiet", ".")
        history.run("checkout", "--quiet", "--force", "mini/dvc.yaml")
