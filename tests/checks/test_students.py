"""The table of students beside teacher, online distillation and baselines, and results that are none."""

from __future__ import annotations

import copy
import json

import pytest

from checks.report.ingredients import Missing
from checks.report.page import write_report
from checks.report.students import Scores, students
from encore.runtime.refusal import Refusal
from tests.checks.conftest import FKD, write_distillation


@pytest.fixture
def distilled(project):
    write_distillation(project, {})
    return project


def test_rows_stand_in_the_order_of_the_parameters_with_the_numbers_of_their_files(distilled):
    table = students(distilled.mini)
    assert table.missing == []
    assert [(row.name, row.role, row.network, row.scores.top1) for row in table.rows] == [
        ("teacher", "", "resnet18", 90.5),
        ("vit", "student", "vit_tiny", 89.5),
        ("resnet18", "student", "resnet18", 88.5),
        ("online", "online distillation", "resnet18", 87.5),
        ("random", "baseline", "resnet18", 86.5),
        ("full", "baseline", "vit_tiny", 85.5),
    ]
    assert table.rows[0].scores == Scores(90.5, 99.0, 91.25, 200)
    values = table.rows[0].values.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")
    assert values == "layers 1-1-1-1, small stem"
    assert [row.trained_on for row in table.rows] == [
        "real pictures",
        "synthetic pictures, stored labels",
        "synthetic pictures, stored labels",
        "10 synthetic pictures a class, teacher online",
        "5 random real pictures a class, their labels",
        "all real pictures, teacher online",
    ]


def test_a_published_teacher_has_neither_a_best_nor_epochs(distilled):
    section = dict(FKD, squeeze={"published": "raw/resnet18.pth"})
    distilled.write_yaml("mini/params.yaml", {"fkd": section})
    distilled.write("mini/metrics/fkd/squeeze.json", '{"top1": 69.758, "top5": 89.078, "steps": 0}')
    teacher = students(distilled.mini).rows[0]
    assert teacher.scores == Scores(69.758, 89.078) and teacher.trained_on == "published weights"
    text = write_report(distilled.size()).read_text(encoding="utf-8")
    assert 'data-label="Top-1">69.76</td>' in text and 'data-label="Best top-1">–</td>' in text


def test_what_has_not_run_is_named_and_the_others_are_shown(distilled):
    for name in ("train/vit", "baseline/full"):
        (distilled.mini / f"metrics/fkd/{name}.json").unlink()
    table = students(distilled.mini)
    assert table.missing == ["metrics/fkd/train/vit.json", "metrics/fkd/baseline/full.json"]
    assert [row.scores is None for row in table.rows] == [False, True, False, False, False, True]
    text = write_report(distilled.size()).read_text(encoding="utf-8")
    assert "train/vit.json, metrics/fkd/baseline/full.json are missing: their stages have not run" in text
    assert text.count("not run</span>") == 2 and "88.50" in text


def test_without_the_system_or_any_result_there_is_no_table(project):
    with pytest.raises(Missing, match="params.yaml has no section fkd"):
        students(project.mini)
    project.write_yaml("mini/params.yaml", {"fkd": FKD})
    with pytest.raises(Missing, match="metrics/fkd holds no result"):
        students(project.mini)
    (project.mini / "params.yaml").unlink()
    with pytest.raises(Missing, match="params.yaml is missing"):
        students(project.mini)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"vit.json: not JSON .*run its stage again"),
        ("[1]", r"vit.json: expected a mapping, found \[1\]"),
        ('{"top1": NaN, "top5": 1}', "vit.json: top1: expected a finite number, found nan"),
        ('{"top1": 1, "top5": -Infinity}', "vit.json: top5: expected a finite number, found -inf"),
        ('{"top1": true, "top5": 1}', "vit.json: top1: expected a number, found True"),
        ('{"top1": 1, "top5": 1, "epochs": 1.5}', "vit.json: epochs: expected a whole number"),
        ('{"top1": 1}', "vit.json: top5: this key is missing"),
    ],
)
def test_a_result_that_is_none_is_refused_by_file_and_key(distilled, text, said):
    distilled.write("mini/metrics/fkd/train/vit.json", text)
    with pytest.raises(Refusal, match=said):
        students(distilled.mini)


def change(section, keys, value):
    section = copy.deepcopy(section)
    inner = section
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return section


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["students"], [1], r"params.yaml: fkd.students: expected a mapping, found \[1\]"),
        (["student_names"], "vit", "fkd.student_names: expected a list of names, found 'vit'"),
        (["student_names"], ["other"], "fkd.student_names: 'other' is no name in fkd.students"),
        (["students", "vit"], None, "fkd.students.vit: expected a mapping, found None"),
        (["network", "name"], 18, "fkd.network.name: expected the name of a network, found 18"),
        (["online_names"], ["gone"], "fkd.train_kd.gone: expected a mapping, found None"),
        (["baselines", "full", "student"], [], r"fkd.baselines.full.student: \[\] is no name in"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_key(distilled, keys, value, said):
    distilled.write_yaml("mini/params.yaml", {"fkd": change(FKD, keys, value)})
    with pytest.raises(Refusal, match=said):
        students(distilled.mini)


def test_the_table_says_what_its_columns_and_rows_are(distilled):
    distilled.write("mini/metrics/fkd/baseline/full.json", json.dumps({"top1": 100, "top5": 100}))
    text = write_report(distilled.size()).read_text(encoding="utf-8")
    table = text[text.index('<section id="students">') :].partition("</section>")[0]
    assert table.count("<caption>") == 1 and table.count('<th scope="row">') == 6
    assert table.count('<th scope="col"') == 7 and 'data-label="Top-1">100.00</td>' in table
