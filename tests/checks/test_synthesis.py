"""The sheet of synthesised pictures by class and iteration, and strips that are none."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from checks.report.ingredients import Missing
from checks.report.page import write_report
from checks.report.synthesis import SIDE, picture_sheet
from encore.runtime.refusal import Refusal
from tests.checks.conftest import write_distillation, write_strips


@pytest.fixture
def distilled(project):
    write_distillation(project, {})
    return project


def decoded(address):
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image)


def record(project, **changes):
    recipe = {"iterations": 20, "snapshots": [0, 5, 20], "snapshot_classes": 2, **changes}
    project.set_fingerprint("fkd/recover", parameters={"recipe": recipe})


def test_small_pictures_keep_every_pixel_in_the_order_of_iterations(distilled):
    sheet = picture_sheet(distilled.mini)
    assert sheet.iterations == [0, 5, 20] and list(sheet.rows) == [0, 1] and sheet.enlarged
    draws = np.random.default_rng(0)
    for place in range(3):
        pixels = draws.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
        for class_id in (0, 1):
            assert np.array_equal(decoded(sheet.rows[class_id][place]), pixels[class_id])
    assert all(address.startswith("data:image/png;base64,") for row in sheet.rows.values() for address in row)


def test_large_pictures_become_thumbnails_and_are_not_enlarged(distilled):
    folder = distilled.mini / "plots/fkd/snapshots"
    write_strips(folder, [0, 5, 20], side=224)
    sheet = picture_sheet(distilled.mini)
    assert not sheet.enlarged and sheet.rows[1][2].startswith("data:image/jpeg;base64,")
    assert decoded(sheet.rows[1][2]).shape == (SIDE, SIDE, 3)


def test_classes_beyond_those_of_the_record_are_left_out(distilled):
    record(distilled, snapshot_classes=1)
    assert list(picture_sheet(distilled.mini).rows) == [0]


def test_the_page_names_class_and_iteration_of_every_picture(distilled):
    text = write_report(distilled.size()).read_text(encoding="utf-8")
    section = text[text.index('<section id="synthesis">') :].partition("</section>")[0]
    assert re.findall('alt="([^"]*)"', section) == [
        f"class {class_id}{when}"
        for class_id in (0, 1)
        for when in (", the noise it starts from", " after 5 iterations", " after 20 iterations")
    ]
    assert 'class="sheet enlarged"' in section and "<caption>" in section
    assert section.count('<th scope="col">') == 4 and section.count('<th scope="row">') == 2
    assert ".sheet.enlarged img { image-rendering: pixelated;" in text


def test_strips_that_have_not_been_written_are_missing(distilled):
    folder = distilled.mini / "plots/fkd/snapshots"
    for path in folder.iterdir():
        path.unlink()
    (folder / "notes.txt").write_text("no strip")
    with pytest.raises(Missing, match="plots/fkd/snapshots holds no picture"):
        picture_sheet(distilled.mini)
    folder.rename(distilled.root / "gone")
    with pytest.raises(Missing, match="plots/fkd/snapshots is missing"):
        picture_sheet(distilled.mini)


def test_strips_that_are_none_are_refused_by_file(distilled):
    path = distilled.mini / "plots/fkd/snapshots/class00001.png"
    whole = path.read_bytes()
    for broken in (b"", b"no picture", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(Refusal, match=r"class00001.png: not a picture .*run its stage again"):
            picture_sheet(distilled.mini)
    Image.new("RGB", (40, 16)).save(path)
    with pytest.raises(Refusal, match="40 x 16 pixels are no row of squares"):
        picture_sheet(distilled.mini)
    Image.new("RGB", (32, 16)).save(path)
    with pytest.raises(Refusal, match="expected 3 square pictures side by side, found 2"):
        picture_sheet(distilled.mini)


@pytest.mark.parametrize(
    "changes", [{"snapshots": None}, {"snapshots": [0, "5"]}, {"iterations": 2.5}, {"snapshot_classes": None}]
)
def test_a_record_without_the_iterations_is_refused(distilled, changes):
    record(distilled, **changes)
    with pytest.raises(Refusal, match="recover.json: parameters.recipe: expected iterations, snapshots"):
        picture_sheet(distilled.mini)


def test_a_malformed_record_is_refused(distilled):
    distilled.write("mini/fingerprints/fkd/recover.json", "{")
    with pytest.raises(Refusal, match="recover.json: not JSON"):
        picture_sheet(distilled.mini)
