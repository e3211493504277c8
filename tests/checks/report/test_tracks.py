"""Pictures and curves of Track 1, and what both tracks share."""

from __future__ import annotations

import re

import pytest

from checks.report.copies import data_set_strips
from checks.report.curves import model_curves, precision_recall
from checks.report.figures import BELOW, Series, line_figure
from checks.report.ingredients import Missing
from checks.report.matches import gallery
from checks.report.page import write_report
from checks.report.thumbnails import thumbnail
from encore.runtime.refusal import Refusal
from tests.checks.conftest import picture
from tests.checks.report.fabricated import write_everything

LABELS = ("step", "training loss")


@pytest.fixture
def whole(project):
    write_everything(project)
    return project


def test_each_data_set_shows_the_same_class_from_its_source_on(whole):
    strips = data_set_strips(whole.mini)
    assert [strip.dataset for strip in strips] == ["baseline_CC", "blur_CC"]
    assert [len(strip.pictures) for strip in strips] == [12, 12]
    assert strips[1].class_id == 0 and strips[1].pictures[3] == thumbnail(picture((0, 27, 0)), 96)


def test_a_folder_without_data_sets_is_missing(project):
    (project.mini / "data/isc_track1/training/empty").mkdir(parents=True)
    with pytest.raises(Missing, match="holds no data set yet"):
        data_set_strips(project.mini)


def test_each_model_has_a_line_and_ten_models_two_figures(whole):
    (figure,) = model_curves(whole.mini, "plots/isc_track1/loss", "step", "loss", LABELS)
    title = "training loss by step: baseline_CC-50 ends at 5.50, blur_CC-50 ends at 5.50"
    assert f'aria-label="{title}"' in figure
    for i in range(8):
        whole.write(f"mini/plots/isc_track1/loss/more{i}.csv", "step,loss\n0,1\n1,2\n")
    found = model_curves(whole.mini, "plots/isc_track1/loss", "step", "loss", LABELS)
    assert len(found) == 2 and all("ends at" in figure for figure in found)


def test_models_without_the_column_are_left_out_and_none_at_all_is_missing(whole):
    whole.write("mini/plots/reid/train/pcb.csv", "epoch,train_loss\n0,\n")
    (figure,) = model_curves(whole.mini, "plots/reid/train", "epoch", "train_loss", ("epoch", "loss"))
    assert "plain ends at 4.50" in figure and "pcb" not in figure
    with pytest.raises(Missing, match="plots/reid/train holds no curve yet"):
        model_curves(whole.mini, "plots/reid/train", "epoch", "other", ("epoch", "loss"))


def test_both_tracks_have_a_curve_of_precision_and_recall(whole):
    assert "recall: all models" in precision_recall(whole.mini, "isc_track1")
    assert "recall: trained, untrained" in precision_recall(whole.mini)
    whole.write("mini/plots/isc_track1/precision_recall.csv", "recall,p\n1,2\n")
    with pytest.raises(Refusal, match="precision_recall.csv: expected the columns recall and precision"):
        precision_recall(whole.mini, "isc_track1")


def test_queries_without_any_prediction_are_one_row_that_counts_them(whole):
    whole.write("mini/data/isc_queries/ground_truth.csv", "query_id,reference_id\nQ0,R0\nQ1,R5\nQ2,R1\n")
    whole.write("mini/submission/isc_track1/submit_50k.csv", "query_id,reference_id,score\nQ1,R5,0.5\n")
    rows = gallery(whole.mini, "isc_track1")
    assert [(row.query.id, len(row.matches), row.alike) for row in rows] == [("Q1", 1, 0), ("Q0", 0, 1)]
    text = write_report(whole.size()).read_text(encoding="utf-8")
    assert "No prediction for this query, nor for 1 other with a match." in text


@pytest.mark.parametrize("length", [3, 12, 24, 40])
def test_legends_below_a_figure_stay_within_it(length):
    labels = [f"{i}{'baseline_CC_pair-152, ' * 2}"[:length] for i in range(6)]
    lines = [Series(label, [0.0, 1.0], [1.0, 0.0]) for label in labels]
    svg = line_figure("a", "six", lines, "x", "y", legend=BELOW, size=(4.5, 3.2))
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg).group(1))
    begins = [float(x) for x in re.findall(r'<text[^>]* x="([-\d.]+)"[^>]*>\dba[^<]*</text>', svg)]
    assert len(begins) == 6 and all(0 <= begin and begin + 5 * length <= width for begin in begins)
