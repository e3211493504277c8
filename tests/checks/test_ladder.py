"""The bars of the fusion, and files that are none."""

from __future__ import annotations

import pytest

from checks.report.ingredients import Missing
from checks.report.ladder import ladder, read_ladder
from encore.runtime.refusal import Refusal


def written(folder, text):
    path = folder / "plots/isc_track1/ladder.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_every_step_has_its_bar_and_its_number(tmp_path):
    written(tmp_path, "step,micro_ap\nsingle_model,0.25\nwith_multi_part,0.5\n")
    svg = ladder(tmp_path)
    assert svg.startswith("<svg") and "single model 0.250, with multi part 0.500" in svg
    assert ">0.250<" in svg and ">0.500<" in svg and ">single model<" in svg
    assert ladder(tmp_path) == svg


def test_a_fusion_that_has_not_run_is_missing(tmp_path):
    with pytest.raises(Missing, match="ladder.csv"):
        ladder(tmp_path)
    written(tmp_path, "step,micro_ap\n")
    with pytest.raises(Missing, match="no step"):
        ladder(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n", "expected the columns step, micro_ap"),
        ("step,micro_ap\na\n", "line 2: expected a name and a number"),
        ("step,micro_ap\na,x\n", "line 2: expected a name and a number"),
        ("step,micro_ap\na,1\nb,nan\n", "line 3: expected a finite number"),
    ],
)
def test_another_file_is_refused_by_line(tmp_path, text, said):
    with pytest.raises(Refusal, match=said):
        read_ladder(written(tmp_path, text))
