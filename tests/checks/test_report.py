from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from checks.cli import main
from checks.report.copies import copy_strips
from checks.report.curves import precision_recall, training_curves
from checks.report.environments import environments
from checks.report.figures import MOST_POINTS, Series, histogram_figure, line_figure
from checks.report.ingredients import Missing, read_columns
from checks.report.matches import gallery
from checks.report.page import ingredients, make_report, write_report
from checks.report.photographs import photographs, splits
from checks.report.thumbnails import thumbnail
from checks.report.verdicts import summary
from encore.runtime.refusal import Refusal
from tests.checks.conftest import picture
from tests.checks.report.fabricated import write_everything


@pytest.fixture
def mini(project):
    """A mini folder with every ingredient of the page."""
    write_everything(project)
    return project


class Page(HTMLParser):
    """What the tests look at: ids, pictures, links, headings, and whether tags are closed in order."""

    VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.ids, self.pictures, self.addresses, self.headings, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.pictures += [attributes] if tag == "img" else []
        self.addresses += [attributes[key] for key in ("src", "href", "xlink:href") if key in attributes]
        self.headings += [tag] if re.fullmatch("h[1-6]", tag) else []
        self.open += [] if tag in self.VOID else [tag]

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for key, value in attributes if key == "id"]
        self.addresses += [value for key, value in attributes if key in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_self_contained_well_formed_and_described(mini):
    text = write_report(mini.size()).read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert page.pictures and all(image["alt"].strip() for image in page.pictures)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address[0] == "#"} <= set(page.ids)
    assert not re.search(r"url\((?!#)|@import|<script [^>]*src|<link", text)
    levels = [int(heading[1]) for heading in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and page.headings.count("h2") == 11
    assert all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:]))
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
    assert "reproduced" in text and "2 of 2 gating claims hold." in text and 'class="note">' not in text
    assert "&lt;a&gt;.png" in text and "A &amp; B" in text


def test_every_table_has_a_caption_and_every_header_a_scope(mini):
    text = write_report(mini.size()).read_text(encoding="utf-8")
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert len(tables) >= 9 and all("<caption>" in table for table in tables)
    assert re.findall("<th(?![^>]*scope=)[ >]", text) == []


def test_equal_files_give_equal_bytes(mini):
    first = write_report(mini.size()).read_bytes()
    assert write_report(mini.size()).read_bytes() == first


SHARED = ("photos.tar", "data/isc_queries/manifest.json")


@pytest.mark.parametrize(
    ("gone", "note"),
    [
        ("submission/isc_track1/submit_50k.csv", "submit_50k.csv is missing"),
        ("data/isc_track1/training", "data/isc_track1/training is missing"),
        ("plots/isc_track1/precision_recall.csv", "plots/isc_track1/precision_recall is missing"),
        ("plots/isc_track1/loss", "plots/isc_track1/loss holds no curve yet"),
        ("plots/reid/train", "plots/reid/train holds no curve yet"),
        ("report/verdicts.json", "report/verdicts.json is missing"),
        ("plots/isc_track2/loss.csv", "loss.csv is missing"),
        ("plots/isc_track2/precision_recall", "precision_recall is missing"),
        ("plots/isc_track1/ladder.csv", "ladder.csv is missing"),
        ("plots/drip/stages.csv", "plots/drip/stages.csv is missing"),
        ("metrics/drip/compare.json", "metrics/drip/compare.json is missing"),
        ("data/isc_100k_256/manifest.json", "data/isc_100k_256/manifest.json is missing"),
        ("data/isc_queries/manifest.json", "data/isc_queries/manifest.json is missing"),
        ("photos.tar", "photos.tar is missing"),
        ("predictions/isc_track2/trained.csv", "trained.csv is missing"),
        ("photos.yaml", "photos.yaml is missing"),
        ("plots/fkd", "plots/fkd holds no curve yet"),
        ("plots/fkd/snapshots", "plots/fkd/snapshots is missing"),
        ("fingerprints/fkd/recover.json", "fingerprints/fkd/recover.json is missing"),
        ("metrics/fkd", "metrics/fkd holds no result of a training yet"),
        ("metrics/reid", "metrics/reid/evaluate holds no result of an evaluation yet"),
        ("plots/reid/cmc/pcb.csv", "plots/reid/cmc/pcb.csv is missing: its stage has not run"),
        ("predictions/reid/pcb.csv", "predictions/reid/pcb.csv is missing"),
        ("persons.tar", "persons.tar is missing"),
        ("../faults/results.json", "faults/results.json is missing: <code>make faults</code> writes it"),
        ("metrics/fkd/train/vit.json", "metrics/fkd/train/vit.json is missing: its stage has not run"),
    ],
)
def test_a_missing_ingredient_is_named_in_the_page(mini, gone, note):
    (mini.mini / gone).rename(mini.root / "gone")
    text = write_report(mini.size()).read_text(encoding="utf-8")
    notes = re.findall('class="note">', text)
    # Without the plots of fkd there are neither its curves nor its pictures; both tracks share queries and
    # references.
    assert len(notes) == (2 if gone in ("plots/fkd", *SHARED) else 1) and note in text


def test_without_fingerprints_nobody_knows_the_iterations_of_the_pictures(mini):
    (mini.mini / "fingerprints").rename(mini.root / "gone")
    text = write_report(mini.size()).read_text(encoding="utf-8")
    assert text.count('class="note">') == 2 and "fingerprints/ is empty" in text
    assert "fingerprints/fkd/recover.json is missing" in text


def test_an_empty_size_still_has_a_page(project):
    for path in project.mini.rglob("*.json"):
        path.unlink()
    found = ingredients(project.size())
    empty = {"isc_track2", "isc_track1", "drip", "fkd", "reid"}
    assert {system.name for system in found["systems"] if system.empty} == empty
    assert {"verdicts", "cost", "environments", "photographs"} <= set(found["notes"])
    assert found["summary"][0] == "open"
    assert Page(write_report(project.size()).read_text(encoding="utf-8")).open == []


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (None, ("open", "No verdicts yet: run encore verify first.")),
        ([("reproduced", True), ("deviates", False)], ("good", "1 of 1 gating claims hold.")),
        ([("better", True), ("deviates", True)], ("bad", "1 of 2 gating claims hold, 1 deviates.")),
        ([("blocked (data)", True)] * 2, ("open", "0 of 2 gating claims hold, 2 could not be measured.")),
    ],
)
def test_the_summary_counts_gating_claims(verdicts, expected):
    rows = verdicts and [{"verdict": verdict, "gating": gating} for verdict, gating in verdicts]
    assert summary(rows) == expected


@pytest.mark.parametrize("text", ["{", "{}", '[{"verdict": "wonderful"}]'])
def test_a_verdict_file_that_is_none_is_refused(mini, text):
    mini.write("mini/report/verdicts.json", text)
    with pytest.raises(Refusal, match="verdicts.json"):
        write_report(mini.size())


def test_right_wrong_and_missed_matches(mini):
    rows = {row.query.id: row for row in gallery(mini.mini)}
    assert [(tile.id, tile.right) for tile in rows["Q0"].matches] == [("R0", True), ("R1", False)]
    assert rows["Q0"].missed is None and rows["Q0"].has_match
    # Q1: the scores -0.2 to -0.7 rank R0 to R5; its true reference R5 is number 6, not among the best four.
    assert [tile.id for tile in rows["Q1"].matches] == ["R0", "R1", "R2", "R3"]
    assert (rows["Q1"].missed.id, rows["Q1"].rank) == ("R5", 6)
    assert not rows["Q2"].has_match and rows["Q2"].missed is None


def test_a_true_reference_that_was_not_returned_is_shown_without_a_rank(mini):
    mini.write("mini/predictions/isc_track2/trained.csv", "Q1,R1,0.5\n")
    row = next(row for row in gallery(mini.mini) if row.query.id == "Q1")
    assert (row.missed.id, row.rank) == ("R5", None)


def test_predictions_of_pictures_that_are_not_there_become_a_note(mini):
    mini.write("mini/predictions/isc_track2/trained.csv", "Q1,R77,0.5\n")
    with pytest.raises(Missing, match="R77"):
        gallery(mini.mini)


def test_parameters_that_name_no_references_are_refused(mini):
    mini.write_yaml("mini/params.yaml", {"isc_track2": {"extract": None}})
    with pytest.raises(Refusal, match="isc_track2.extract.references"):
        gallery(mini.mini)


def test_strips_are_in_the_order_of_copies_not_of_text(mini):
    strips = copy_strips(mini.mini, classes=2)
    assert [strip.class_id for strip in strips] == [0, 2] and all(
        len(strip.pictures) == 12 for strip in strips
    )
    assert strips[1].pictures[2] == thumbnail(picture((80, 18, 0)), 96)


def test_curves_come_from_every_column_and_skip_gaps(mini):
    loss, triplet = training_curves(mini.mini)
    assert 'aria-label="loss over 20 training steps"' in loss and "triplet" in triplet
    assert "trained, untrained" in precision_recall(mini.mini)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header"),
        ("step,loss\n1\n", "line 2: expected 2 fields, found 1"),
        ("step,loss\n1,two\n", "line 2: expected a number, found 'two'"),
        ("step,loss\n1,2\n2,inf\n", "line 3: expected a finite number, found 'inf'"),
    ],
)
def test_a_bad_curve_file_is_refused_by_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(Refusal, match=message):
        read_columns(tmp_path / "a.csv")


def test_curve_files_with_other_columns_are_refused(mini):
    mini.write("mini/plots/isc_track2/loss.csv", "epoch,loss\n1,2\n")
    with pytest.raises(Refusal, match="expected the columns step and loss, found epoch, loss"):
        training_curves(mini.mini)
    mini.write("mini/plots/isc_track2/precision_recall/trained.csv", "recall,p\n1,2\n")
    with pytest.raises(Refusal, match="expected the columns recall and precision"):
        precision_recall(mini.mini)


def test_figures_take_colours_and_font_from_the_page_and_thin_long_series():
    x = [float(i) for i in range(5000)]
    saw = [float(i * 7919 % 100) for i in range(5000)]
    svg = line_figure("a", "two lines", [Series("up", x, x), Series("saw", x, saw)], "x", "y")
    assert "var(--series-1)" in svg and "var(--series-2)" in svg and "currentColor" in svg
    assert (
        "#0a0b" not in svg
        and "#010203" not in svg
        and "DejaVu" not in svg
        and 'width="' not in svg.split(">")[0]
    )
    longest = max(len(re.findall("[ML]", path)) for path in re.findall(r' d="([^"]*)"', svg))
    assert 100 < longest <= MOST_POINTS
    other = line_figure("b", "two lines", [Series("up", x, x)], "x", "y")
    assert not set(re.findall(r'\bid="([^"]*)"', svg)) & set(re.findall(r'\bid="([^"]*)"', other))


def test_lines_are_parted_marked_and_pointed_at_where_that_is_asked_for():
    x, nan = [0.0, 1.0, 1.0, 2.0], float("nan")
    line = Series("loss", x, [4.0, 3.0, nan, 1.0])
    plain = line_figure("a", "a line", [line], "x", "y")
    pens = [re.findall("[ML]", path) for path in drawn(plain)]
    assert pens == [["M", "L", "M"]] and "<use" not in drawn_group(plain)
    marked = line_figure("b", "a line", [line], "x", "y", points=True, marks=("classes", {0: "40", 2: "12k"}))
    assert drawn_group(marked).count("<use") == 3
    assert all(f">{text}</text>" in marked for text in ("classes", "12k"))
    assert ">12k</text>" not in plain


def test_more_lines_than_colours_are_dashed_and_whole_numbers_have_whole_ticks():
    lines = [Series(f"run {i}", [1.0, 20.0], [float(i), 2.0]) for i in range(6)]
    svg = line_figure("a", "six lines", lines, "rank", "y")
    assert all(f">run {i}</text>" in svg for i in range(6)) and svg.count("stroke-dasharray") == 4
    assert ">2.5</text>" not in svg and ">2.5</text>" in line_figure(
        "b", "one", [Series("", [1.5, 20.0], [0.0, 1.0])], "x", "y"
    )
    with pytest.raises(ValueError):
        line_figure("c", "nine lines", lines * 2, "x", "y")


def drawn(svg):
    return re.findall(r'<path d="([^"]*)"[^>]*var\(--series-1\)', svg)


def drawn_group(svg):
    """Of an SVG, the elements in the colour of its first line."""
    return "".join(re.findall(r"<use [^>]*var\(--series-1\)[^>]*>", svg))


def test_a_histogram_of_equal_values_can_be_drawn():
    assert histogram_figure("h", "equal", [0.5] * 7, "score", "queries").startswith("<svg")


def test_what_stages_share_stands_once(project):
    project.set_fingerprint("toy/train", python="3.7.16", wall_seconds=61.25)
    project.set_fingerprint("toy/other")
    found = environments(project.mini)
    assert found.shared["libraries.numpy"] == "2.0.0" and found.differing == ["python"]
    assert found.stages["toy/train"]["wall_seconds"] == "61.2 s"
    assert found.stages["toy/test"]["peak_memory_bytes"] == "128 MiB"
    assert "parameters" not in found.shared
    assert found.unusual("toy/train") == [("python", "3.7.16")] and found.unusual("toy/test") == []


def test_keys_of_few_stages_are_theirs_alone_and_truth_values_are_words(project):
    for stage in ("a", "b", "c"):
        project.set_fingerprint(f"toy/{stage}", raqm=True, numerics={"tf32": stage == "a"})
    project.set_fingerprint("toy/c", raqm=True, numerics={"tf32": False}, view=48, weights_sha256="0" * 64)
    found = environments(project.mini)
    # toy/test records neither; three of four stages are more than half.
    assert found.shared["raqm"] == "yes" and found.usual == {"numerics.tf32": "no"}
    assert found.unusual("toy/a") == [("numerics.tf32", "yes")] and found.unusual("toy/c") == []
    assert found.stages["toy/c"]["view"] == "48"


def test_photographs_are_grouped_by_split(mini):
    rows = photographs(mini.mini)
    assert splits(rows) == {"references, foreign": (1, 2), "training": (1, 4)}
    mini.write_yaml("mini/photos.yaml", [{"file": "a"}])
    with pytest.raises(Refusal, match=r"photos.yaml: \[0\].title: this key is missing"):
        photographs(mini.mini)


def test_the_command_prints_the_path(mini, capsys):
    main_ends_well(["report", str(mini.mini), "--claims", str(mini.claims)])
    assert capsys.readouterr().out.strip() == str(mini.mini / "report/index.html")
    assert json.loads((mini.mini / "report/verdicts.json").read_text())


def test_the_command_says_what_is_missing(mini, capsys):
    (mini.mini / "plots/isc_track1/ladder.csv").unlink()
    main_ends_well(["report", str(mini.mini), "--claims", str(mini.claims), "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "path": str(mini.mini / "report/index.html"),
        "missing": {"ladder": "plots/isc_track1/ladder.csv is missing: its stage has not run in this folder"},
    }
    assert make_report(mini.size()).missing.keys() == {"ladder"}


def main_ends_well(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
