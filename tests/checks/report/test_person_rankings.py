"""Person re-identification in the report: curves, table, ranked pictures, and files that are none."""

from __future__ import annotations

import json
import re
import tarfile

import pytest

from checks.report.ingredients import Missing
from checks.report.page import write_report
from checks.report.person_rankings import Match, person_rankings, precision_of, ranked_rows
from checks.report.thumbnails import thumbnail
from encore.runtime.refusal import Refusal
from tests.checks.conftest import REID, REID_SCORES, person_states, picture, write_persons

HEADER = "query,rank,gallery,score,state\n"
ROW = "query/0001_c1s1_000001_01.jpg,{},bounding_box_test/0000_c2s1_000002_01.jpg,0.5,right\n"
CMC = "rank,published,torchreid\n"


@pytest.fixture
def ranked(project):
    project.write_yaml("mini/params.yaml", {"reid": REID})
    write_persons(project)
    return project


def set_parameters(project, **changes):
    project.write_yaml("mini/params.yaml", {"reid": {**REID, **changes}})


def set_scores(project, run="plain", **changes):
    project.write(f"mini/metrics/reid/evaluate/{run}.json", json.dumps({**REID_SCORES, **changes}))


def section(project):
    text = write_report(project.size()).read_text(encoding="utf-8")
    return re.search(r'<section id="persons">.*?</section>', text, re.DOTALL).group()


def test_one_figure_holds_the_published_curves_of_all_runs_up_to_rank_20(ranked):
    found = person_rankings(ranked.mini)
    assert len(found.figures) == 1 and list(found.runs) == ["plain", "pcb"]
    curve = "25.0 % at rank 1, 75.0 % at rank 5, 75.0 % at rank 10, 75.0 % at rank 20"
    assert (
        f'aria-label="Queries with a right match up to a rank: plain {curve}; pcb {curve}"'
        in found.figures[0]
    )
    for colour in "12":
        (line,) = re.findall(rf'<path d="([^"]*)"[^>]*var\(--series-{colour}\)', plot_lines(found.figures[0]))
        assert len(re.findall("[ML]", line)) == 20


def plot_lines(svg):
    """Of an SVG, its long lines only: no marker, no piece of the legend."""
    return "".join(path for path in re.findall(r"<path [^>]*>", svg) if path.count("L ") > 3)


def test_a_small_gallery_has_as_many_ranks_as_pictures(ranked):
    for run in ("plain", "pcb"):
        ranked.write(f"mini/plots/reid/cmc/{run}.csv", CMC + "1,0.5,0.5\n2,0.5,\n3,1,1\n")
    (figure,) = person_rankings(ranked.mini).figures
    assert "plain 50.0 % at rank 1; pcb 50.0 % at rank 1" in figure and ">10</text>" not in figure


def test_more_runs_than_a_figure_can_tell_apart_are_all_drawn(ranked):
    names = [f"run{i}" for i in range(9)]
    set_parameters(ranked, evaluated=names)
    for name in names:
        set_scores(ranked, name)
        ranked.write(f"mini/plots/reid/cmc/{name}.csv", CMC + "1,0.5,0.5\n2,1,1\n")
    text = section(ranked)
    assert all(f">{name}</text>" in text for name in names)


def test_the_table_has_both_protocols_in_percent_and_dashes_for_what_was_not_measured(ranked):
    text = section(ranked)
    plain = re.search(r'<th scope="row">plain</th>.*?</tr>', text, re.DOTALL).group()
    assert re.findall(r'data-label="([^"]*)">([^<]*)</td>', plain) == [
        ("Rank 1", "50.00"),
        ("Rank 5", "75.00"),
        ("Rank 10", "75.00"),
        ("mAP", "37.50"),
        ("Rank 1, torchreid", "62.50"),
        ("mAP, torchreid", "43.75"),
        ("Rank 1, multi query", "68.75"),
        ("mAP, multi query", "56.25"),
        ("Rank 1, re-ranked", "–"),
        ("mAP, re-ranked", "–"),
    ]
    assert "divides by all 10 queries, torchreid's" in text and "which leaves out 1." in text
    assert text.count("<caption>") == 1 and 'class="note"' not in text


def test_the_rows_are_of_the_run_with_the_highest_map_from_its_best_query_to_its_worst(ranked):
    found = person_rankings(ranked.mini)
    assert found.best == "pcb" and found.note is None
    # Of ten queries with 0 to 9 right matches, eight at even distances: 9, 8, 6, 5, 4, 3, 1, 0.
    assert [row.right for row in found.rows] == [9, 8, 6, 5, 4, 3, 1, 0]
    assert [match.state for match in found.rows[2].matches] == person_states(6)[:8]
    row = found.rows[-1]
    assert row.query == "query/0001_c1s1_000001_01.jpg" and row.listed == 10
    assert row.pictures[row.query] == thumbnail(picture((0, 0, 0), side=8), 144)
    assert row.pictures[row.matches[1].name] == thumbnail(picture((12 * 11, 0, 0), side=8), 144)


def test_average_precision_as_far_as_the_matches_tell():
    def matches(states):
        return [
            Match("a.jpg", 0.5, {"r": "right", "w": "wrong", "d": "distractor"}[state]) for state in states
        ]

    # Right at ranks 2, 3 and 5: precisions 1/2, 2/3 and 3/5.
    assert precision_of(matches("wrrdr")) == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 10)
    assert precision_of(matches("r" * 12)) == 1 and precision_of(matches("wd")) == 0


def test_right_wrong_and_distractor_are_told_by_frame_text_and_alternative_text(ranked):
    # A gallery of three, so that all states are among the matches that are shown.
    name = "bounding_box_test/000{}_c2s1_000002_01.jpg"
    states = ["distractor", "wrong", "right"]
    rows = [
        f"query/0001_c1s1_000001_01.jpg,{place + 1},{name.format(place)},{-place},{state}\n"
        for place, state in enumerate(states)
    ]
    ranked.write("mini/predictions/reid/pcb.csv", HEADER + "".join(rows))
    text = section(ranked)
    assert text.count('<li class="row card">') == 1 and "1 of 3 right" in text
    assert 'alt="query 0001_c1s1_000001_01"' in text and "0001_<wbr>c1s1_<wbr>000001_<wbr>01" in text
    for place, (state, mark) in enumerate(zip(states, "○✗✓")):
        tile = re.search(rf'<div class="tile {state}">.*?</div>', text, re.DOTALL).group()
        assert f'alt="rank {place + 1}: 000{place}_c2s1_000002_01, {state}"' in tile
        assert f">{mark} {state}</span>" in tile


def test_pictures_come_from_a_folder_or_from_below_a_prefix_too(ranked):
    file = "predictions/reid/pcb.csv"
    rows = ranked_rows(ranked.mini, file, {"reid": REID}, "reid")
    with tarfile.open(ranked.mini / "persons.tar") as tar:
        tar.extractall(ranked.mini / "raw/persons", filter="data")
    with tarfile.open(ranked.mini / "nested.tar", "w") as tar:
        tar.add(ranked.mini / "raw/persons", "market")
    for root in ("raw/persons", str(ranked.mini / "raw/persons"), "nested.tar#market"):
        parameters = {"reid": {"evaluation": {"root": root}}}
        assert ranked_rows(ranked.mini, file, parameters, "reid") == rows


def test_a_run_that_has_not_been_evaluated_is_named_and_the_others_are_shown(ranked):
    (ranked.mini / "metrics/reid/evaluate/pcb.json").unlink()
    (ranked.mini / "plots/reid/cmc/pcb.csv").unlink()
    text = section(ranked)
    assert "<h4>What plain ranks first</h4>" in text and "<svg" in text
    assert '<td colspan="10"><span class="mark open">not run</span></td>' in text
    assert (
        "metrics/reid/evaluate/pcb.json, plots/reid/cmc/pcb.csv are missing: their stages have not run"
        in text
    )
    (ranked.mini / "plots/reid/cmc/plain.csv").unlink()
    assert "<svg" not in section(ranked)


def test_without_parameters_or_any_result_the_section_is_missing(ranked):
    for path in (ranked.mini / "metrics/reid/evaluate").iterdir():
        path.unlink()
    with pytest.raises(Missing, match="metrics/reid/evaluate holds no result"):
        person_rankings(ranked.mini)
    ranked.write_yaml("mini/params.yaml", {"toy": {}})
    with pytest.raises(Missing, match=r"params.yaml has no section reid"):
        person_rankings(ranked.mini)


@pytest.mark.parametrize(
    ("predictions", "note"),
    [
        (HEADER, "predictions/reid/pcb.csv holds no query yet"),
        (
            HEADER + ROW.format(1).replace("0000_", "0099_"),
            "0099_c2s1_000002_01.jpg is named by predictions/reid/",
        ),
    ],
)
def test_rows_that_cannot_be_shown_become_a_note_beside_the_numbers(ranked, predictions, note):
    ranked.write("mini/predictions/reid/pcb.csv", predictions)
    text = section(ranked)
    assert text.count('class="note"') == 1 and note in text and "<svg" in text


@pytest.mark.parametrize("evaluated", [None, [], "plain", [1]])
def test_parameters_without_evaluated_runs_are_refused(ranked, evaluated):
    set_parameters(ranked, evaluated=evaluated)
    with pytest.raises(Refusal, match=r"params.yaml: reid.evaluated: expected a list of runs, found"):
        person_rankings(ranked.mini)


def test_parameters_that_do_not_say_where_the_pictures_are_are_refused(ranked):
    set_parameters(ranked, evaluation={})
    with pytest.raises(Refusal, match=r"params.yaml: reid.evaluation.root: expected where .* found None"):
        person_rankings(ranked.mini)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rank1": 64.2}, r"plain.json: rank1: expected a share from 0 to 1, found 64.2"),
        ({"reranked_mAP": -0.5}, r"plain.json: reranked_mAP: expected a share"),
        ({"mAP": None}, r"plain.json: mAP: expected a number, found None"),
        ({"torchreid_mAP": float("nan")}, r"torchreid_mAP: expected a finite number"),
        ({"queries": 2.5}, r"plain.json: queries: expected a whole number"),
        ({"left_out": 11}, r"plain.json: left_out: expected at most 10 queries, found 11"),
        ({"left_out": 2}, r"reid/evaluate: expected equal queries and left_out of all runs"),
    ],
)
def test_metrics_out_of_range_are_refused_by_key(ranked, changes, said):
    set_scores(ranked, **changes)
    with pytest.raises(Refusal, match=said):
        person_rankings(ranked.mini)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "plain.json: not JSON .* run its stage again"),
        ("[1]", r"plain.json: expected names with numbers, found \[1\]: run"),
        ('{"rank1": 0.5}', "plain.json: rank5: this key is missing"),
    ],
)
def test_metrics_that_are_none_are_refused_by_file(ranked, text, said):
    ranked.write("mini/metrics/reid/evaluate/plain.json", text)
    with pytest.raises(Refusal, match=said):
        person_rankings(ranked.mini)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "plain.csv: expected a header line"),
        (
            "rank,published\n1,0.5\n",
            "plain.csv: expected the columns rank, published, torchreid, found rank, pub",
        ),
        (CMC, "plain.csv: line 2: expected rank 1, found the end of the file"),
        (CMC + "0,0.5,0.5\n", "plain.csv: line 2: expected rank 1, found 0"),
        (CMC + "1,0.5,0.5\n3,0.5,0.5\n", "plain.csv: line 3: expected rank 2, found 3"),
        (CMC + "1,0.5,0.5\n2,0.25,0.5\n", "plain.csv: line 3: expected a share from 0.5 to 1, found 0.25"),
        (CMC + "1,50,50\n", "plain.csv: line 2: expected a share from 0 to 1, found 50"),
        (CMC + "1,,0.5\n", "plain.csv: line 2: expected a share from 0 to 1, found nan"),
    ],
)
def test_a_curve_that_is_none_is_refused_by_line(ranked, text, said):
    ranked.write("mini/plots/reid/cmc/plain.csv", text)
    with pytest.raises(Refusal, match=said):
        person_rankings(ranked.mini)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "pcb.csv: expected the columns query, rank, gallery, score, state, found None"),
        ("query,gallery\n", r"pcb.csv: expected the columns .* found \['query', 'gallery'\]"),
        (HEADER + "a.jpg,1,b.jpg\n", "pcb.csv: line 2: expected 5 fields, found 3"),
        (HEADER + ROW.format("first"), "line 2: expected rank and score as numbers, found 'first', '0.5'"),
        (HEADER + ROW.format(1).replace("0.5", "inf"), "line 2: expected a finite score, found inf"),
        (
            HEADER + ROW.format(1).replace("right", "junk"),
            "line 2: expected the state right, .* found 'junk'",
        ),
        (
            HEADER + ROW.format(2),
            "pcb.csv: line 2: expected rank 1 of query/0001_c1s1_000001_01.jpg, found 2",
        ),
        (HEADER + ROW.format(1) * 2, "pcb.csv: line 3: expected rank 2 of query/0001"),
    ],
)
def test_predictions_that_are_none_are_refused_by_line(ranked, text, said):
    ranked.write("mini/predictions/reid/pcb.csv", text)
    with pytest.raises(Refusal, match=said):
        person_rankings(ranked.mini)


def test_a_file_that_is_no_picture_is_refused_by_name(ranked):
    ranked.write("mini/raw/query/0001_c1s1_000001_01.jpg", "")
    ranked.write("mini/predictions/reid/pcb.csv", HEADER + ROW.format(1))
    set_parameters(ranked, evaluation={"root": "raw"})
    with pytest.raises(Refusal, match=r"raw: query/0001_c1s1_000001_01.jpg: expected a picture, found none"):
        person_rankings(ranked.mini)
