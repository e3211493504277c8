"""The curves of the synthesis and of students, and files that are none."""

from __future__ import annotations

import re

import pytest

from checks.report.curves import distillation_curves
from checks.report.ingredients import Missing
from encore.runtime.refusal import Refusal
from tests.checks.conftest import write_distillation


@pytest.fixture
def distilled(project):
    write_distillation(project, {})
    return project


def titles(folder):
    return re.findall('aria-label="([^"]*)"', "".join(distillation_curves(folder)))


def test_one_figure_a_number_and_one_line_a_run(distilled):
    assert titles(distilled.mini) == [
        "loss of the synthesis up to iteration 20",
        "training loss of students over 4 epochs: resnet18, vit",
        "top-1 (%) of students over 4 epochs: resnet18, vit",
        "training loss of online students over 4 epochs: online",
        "top-1 (%) of online students over 4 epochs: online",
        "training loss of baselines over 4 epochs: full, random",
        "top-1 (%) of baselines over 4 epochs: full, random",
    ]


def test_epochs_without_validation_leave_no_gap_in_the_line(distilled):
    for name in ("train/vit", "train_kd/online", "baseline/full", "baseline/random"):
        (distilled.mini / f"plots/fkd/{name}.csv").unlink()
    top1 = distillation_curves(distilled.mini)[2]
    line = re.findall(r'<path d="([^"]*)"[^>]*var\(--series-1\)', top1)
    assert len(line) == 1 and len(re.findall("[ML]", line[0])) == 2


def test_a_single_validation_is_a_visible_point(distilled):
    distilled.write("mini/plots/fkd/train_kd/online.csv", "step,train/loss,val/top1\n0,2,\n1,1,50\n")
    single = distillation_curves(distilled.mini)[4]
    assert re.search(r"<use [^>]*var\(--series-1\)", single)


def test_more_runs_than_colours_go_on_in_a_further_figure(distilled):
    for i in range(5):
        distilled.write(f"mini/plots/fkd/train_kd/run{i}.csv", "step,train/loss\n0,2\n1,1\n")
    found = [title for title in titles(distilled.mini) if "training loss of online" in title]
    assert [title.partition(": ")[2] for title in found] == ["online, run0, run1, run2", "run3, run4"]


def test_what_has_not_begun_has_no_figure(project):
    with pytest.raises(Missing, match="plots/fkd holds no curve yet"):
        distillation_curves(project.mini)
    project.write("mini/plots/fkd/recover.csv", "iteration,loss\n")
    project.write("mini/plots/fkd/train/a.csv", "step,train/loss,val/top1\n")
    with pytest.raises(Missing, match="plots/fkd holds no curve yet"):
        distillation_curves(project.mini)
    project.write("mini/plots/fkd/train/a.csv", "step,train/loss,val/top1\n0,1,\n")
    assert titles(project.mini) == ["training loss of students over 1 epoch: a"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("recover", "step,loss\n1,2\n", "recover.csv: expected the columns iteration and loss, found step"),
        ("recover", "iteration,loss\n0,nan\n", "recover.csv: line 2: expected a finite number, found 'nan'"),
        (
            "train/a",
            "epoch,train/loss\n1,2\n",
            "a.csv: expected the columns step and train/loss, found epoch",
        ),
        ("train/a", "step,train/loss\n0,1\n1,-inf\n", "a.csv: line 3: expected a finite number"),
        ("baseline/a", "step,train/loss\n0\n", "a.csv: line 2: expected 2 fields, found 1"),
        ("train_kd/a", "", "a.csv: expected a header line"),
    ],
)
def test_files_that_are_none_are_refused_by_line(distilled, file, text, said):
    distilled.write(f"mini/plots/fkd/{file}.csv", text)
    with pytest.raises(Refusal, match=said):
        distillation_curves(distilled.mini)
