"""The loss across the stages of the drip training: figure, table, and files that are none."""

from __future__ import annotations

import json
import re

import pytest

from checks.report.drip_stages import drip_stages
from checks.report.ingredients import Missing
from checks.report.page import write_report
from encore.runtime.refusal import Refusal
from tests.checks.conftest import DRIP, write_drip


@pytest.fixture
def dripped(project):
    write_drip(project)
    return project


def section(project):
    text = write_report(project.size()).read_text(encoding="utf-8")
    return text[text.index('<section id="drip">') :].partition("</section>")[0]


def drawn(figure, number):
    """(parts of the line, points) of the series `number` in an SVG."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*var\(--series-{number}\)', figure)
    parts = max((len(re.findall("M", path)) for path in paths), default=0)
    return parts, len(re.findall(rf"<use [^>]*var\(--series-{number}\)", figure))


def test_rows_are_the_stages_with_the_control_among_them(dripped):
    found = drip_stages(dripped.mini)
    assert [(row.name, row.classes, row.kernel, row.control, row.epochs) for row in found.rows] == [
        ("first", 40, "random", False, 3),
        ("second", 80, "centroids", False, 2),
        ("without", 80, "random", True, 1),
        ("third", 12000, "centroids", False, 1),
    ]
    assert [(row.first_loss, row.last_loss) for row in found.rows[:3]] == [
        (25.5, 1.75),
        (3.5, 1.5),
        (24.25, 24.25),
    ]
    assert [list(row.values.values()) for row in found.rows] == [
        [0.5, None],
        [None, None],
        [None, None],
        [0.5, 0.75],
    ]
    assert found.compared["drop"] == 20.75


def test_the_lines_are_parted_where_a_stage_begins_and_the_control_is_its_own(dripped):
    figure = drip_stages(dripped.mini).figure
    # Three stages, and in the legend one point more for each line.
    assert drawn(figure, 1) == (3, 6 + 1) and drawn(figure, 2) == (3, 6 + 1)
    assert drawn(figure, 3)[1] == 1 + 1 and drawn(figure, 4) == (0, 0)
    assert all(f">{text}</text>" in figure for text in ("40", "80", "12k", "classes of the stage"))
    title = re.search('aria-label="([^"]*)"', figure).group(1)
    assert "second with 80 classes, training loss 3.50 to 1.50" in title and "without (control)" in title


def test_without_a_control_there_is_no_line_and_no_sentence_of_it(dripped):
    rows = [line for line in DRIP.splitlines(True) if not line.startswith("without")]
    dripped.write("mini/plots/drip/stages.csv", "".join(rows))
    dripped.write("mini/metrics/drip/compare.json", '{"centroid_first_epoch_loss": 3.5}')
    assert "random kernel" not in drip_stages(dripped.mini).figure
    assert "with random columns and" not in section(dripped)


def test_many_epochs_are_a_line_without_points(dripped):
    rows = [f"first,random,40,{epoch},{epoch},{9 - epoch / 9},1\n" for epoch in range(61)]
    dripped.write("mini/plots/drip/stages.csv", DRIP.splitlines(True)[0] + "".join(rows))
    assert drawn(drip_stages(dripped.mini).figure, 1) == (1, 0)


def test_the_section_says_what_the_centroids_spare(dripped):
    text = section(dripped)
    assert "has a mean loss of 3.50; with random columns and the same weights it has 24.25." in text
    assert text.count('<th scope="row">') == 4 and text.count('<th scope="col"') == 8
    assert 'data-label="Average precision">0.500</td>' in text and 'data-label="Normalised">–</td>' in text
    assert text.count(" control</span>") == 1 and 'data-label="Classes">12,000</td>' in text


def test_what_has_not_run_is_missing(dripped):
    dripped.write("mini/plots/drip/stages.csv", DRIP.splitlines(True)[0])
    with pytest.raises(Missing, match="stages.csv holds no epoch yet"):
        drip_stages(dripped.mini)
    (dripped.mini / "plots/drip/stages.csv").unlink()
    with pytest.raises(Missing, match="plots/drip/stages.csv is missing"):
        drip_stages(dripped.mini)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "stages.csv: expected the columns stage, kernel, .* found None"),
        ("stage,epoch\n", r"found \['stage', 'epoch'\]"),
        ("{}a,random,40,0\n", "stages.csv: line 2: expected 7 fields, found 4"),
        ("{}a,random,40,0,zero,1,1\n", "line 2: expected classes, .* as numbers, found .*'zero'"),
        ("{}a,random,40,0,0,1,1\na,other,40,1,1,1,1\n", "line 3: expected the kernel centroids or random"),
        ("{}a,random,40,0,0,1,nan\n", r"line 2: expected finite losses, found \['1', 'nan'\]"),
    ],
)
def test_a_file_that_holds_no_stages_is_refused_by_line(dripped, text, said):
    dripped.write("mini/plots/drip/stages.csv", text.format(DRIP.splitlines(True)[0]))
    with pytest.raises(Refusal, match=said):
        drip_stages(dripped.mini)


@pytest.mark.parametrize("file", ["compare", "infer/third"])
@pytest.mark.parametrize("value", ["{", [1], {"average_precision": None}, {"drop": True}, {"drop": "1"}])
def test_metrics_that_are_none_are_refused_by_file(dripped, file, value):
    text = value if isinstance(value, str) else json.dumps(value)
    dripped.write(f"mini/metrics/drip/{file}.json", text)
    with pytest.raises(Refusal, match=f"drip/{file}.json: .*run its stage again"):
        drip_stages(dripped.mini)
