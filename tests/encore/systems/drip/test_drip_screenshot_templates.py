import json
import os

import pytest
from golden_files import FOLDER, golden
from PIL import Image

from encore.data.augment.screenshot import ScreenshotTemplate
from encore.runtime.refusal import Refusal
from encore.systems.drip.screenshot_templates import (
    AT_LEAST,
    PUBLISHED_COUNT,
    copy_templates,
    read_templates,
)


def folder_of(tmp_path, boxes, there):
    folder = tmp_path / "FB_page_qry"
    folder.mkdir()
    (folder / "bboxes.json").write_text(json.dumps(boxes))
    for name in there:
        Image.new("RGB", (40, 30)).save(str(folder / name))
    return folder


BOXES = {"web.png": [1, 2, 30, 20], "mobile.png": [0, 0, 40, 30], "Q00002.jpg": [5, 5, 9, 9]}


def test_the_published_inputs_are_read_in_the_order_of_the_boxes():
    folder = golden("drip/inputs/bboxes.json").parent
    templates = read_templates(folder, at_least=2)
    assert templates.found == (
        ScreenshotTemplate(str(folder / "tmplA.png"), (40, 60, 300, 320)),
        ScreenshotTemplate(str(folder / "tmplB.png"), (120, 30, 520, 270)),
    )
    assert templates.missing == ()


def test_a_missing_template_is_left_out_and_named(tmp_path):
    folder = folder_of(tmp_path, BOXES, ["Q00002.jpg", "web.png"])
    templates = read_templates(folder, at_least=2)
    assert [template.path for template in templates.found] == [
        str(folder / "web.png"),
        str(folder / "Q00002.jpg"),
    ]
    assert templates.missing == ("mobile.png",)


def test_at_least_101_are_needed(tmp_path):
    assert (AT_LEAST, PUBLISHED_COUNT) == (101, 2 + 859)
    names = ["{:03d}.png".format(number) for number in range(101)]
    folder = folder_of(tmp_path, {name: [0, 0, 4, 4] for name in names}, names)
    assert len(read_templates(folder).found) == 101
    (folder / "007.png").unlink()
    with pytest.raises(
        Refusal, match="expected at least 101 .* found 100 of 101, the first missing is 007.png"
    ):
        read_templates(folder)


@pytest.mark.parametrize(
    "box", [[1, 2, 3], [1, 2, 1, 9], [1, 9, 5, 9], [-1, 0, 5, 5], [0, 0, 5.5, 5], [0, 0, True, 5], "box"]
)
def test_a_bad_box_is_refused_by_name(tmp_path, box):
    folder = folder_of(tmp_path, dict(BOXES, **{"mobile.png": box}), [])
    with pytest.raises(Refusal, match="bboxes.json: mobile.png: expected"):
        read_templates(folder, at_least=0)


def test_a_box_outside_its_picture_is_refused(tmp_path):
    folder = folder_of(tmp_path, {"web.png": [40, 0, 90, 20]}, ["web.png"])
    with pytest.raises(
        Refusal, match=r"web.png: the box \[40, 0, 90, 20\] lies outside the picture of 40 x 30"
    ):
        read_templates(folder, at_least=1)


def test_a_broken_picture_is_refused(tmp_path):
    folder = folder_of(tmp_path, BOXES, [])
    (folder / "web.png").write_bytes(b"no picture")
    with pytest.raises(Refusal, match="web.png: not a readable picture"):
        read_templates(folder, at_least=1)


@pytest.mark.parametrize(
    "text, message", [("{", "not JSON"), ("[]", "found list"), ('{"../x": [0,0,1,1]}', "../x")]
)
def test_damaged_boxes_are_refused(tmp_path, text, message):
    folder = folder_of(tmp_path, {}, [])
    (folder / "bboxes.json").write_text(text)
    with pytest.raises(Refusal, match="bboxes.json: .*" + message):
        read_templates(folder)
    (folder / "bboxes.json").unlink()
    with pytest.raises(Refusal, match="bboxes.json: cannot be read"):
        read_templates(folder)


def test_templates_and_queries_are_copied_byte_for_byte(tmp_path):
    folder = folder_of(tmp_path, dict(BOXES, **{"Q00001.jpg": [0, 0, 3, 3]}), ["web.png", "Q00001.jpg"])
    (folder / "FB_queries.txt").write_text("1\n2\n6092\n")
    queries, copy = tmp_path / "queries", tmp_path / "copy"
    queries.mkdir()
    (queries / "Q00001.jpg").write_bytes(b"another one")
    with pytest.raises(Refusal, match="queries: no Q00002.jpg"):
        copy_templates(copy, folder, queries)
    assert os.listdir(str(copy)) == ["bboxes.json"]
    (queries / "Q00002.jpg").write_bytes(b"two")
    # mobile.png is no query and stays missing; the folder's own Q00001.jpg goes before that of the queries.
    assert sorted(copy_templates(copy, folder, queries)) == ["Q00001.jpg", "Q00002.jpg", "web.png"]
    assert sorted(os.listdir(str(copy))) == ["Q00001.jpg", "Q00002.jpg", "bboxes.json", "web.png"]
    assert (copy / "Q00002.jpg").read_bytes() == b"two"
    for name in ("web.png", "Q00001.jpg", "bboxes.json"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()


def test_without_queries_they_stay_missing(tmp_path):
    folder = folder_of(tmp_path, BOXES, ["web.png"])
    assert copy_templates(tmp_path / "copy", folder) == ["web.png"]
    assert read_templates(tmp_path / "copy", at_least=1).missing == ("mobile.png", "Q00002.jpg")
    (folder / "bboxes.json").unlink()
    with pytest.raises(Refusal, match="FB_page_qry: no bboxes.json: put the published file there"):
        copy_templates(tmp_path / "other", folder)


def test_the_embedded_screens_are_templates(tmp_path):
    tar = os.path.join(os.path.dirname(str(FOLDER)), "..", "mini", "drip.tar")
    copy_templates(tmp_path, tar + "#screens")
    templates = read_templates(tmp_path, at_least=4)
    assert templates.missing == () and templates.found[0].path.endswith("mobile.png")
