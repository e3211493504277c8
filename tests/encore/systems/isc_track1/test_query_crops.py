import dataclasses
import gzip
import io
import json

import numpy as np
import pytest
from golden_files import golden
from PIL import Image

from encore.data.images import RejectedImage
from encore.detection.selective_search import Regions
from encore.systems.isc_track1.query_crops import (
    ProposalParameters,
    augmented_query,
    candidates,
    fixed_crops,
    proposal_boxes,
)
from tests.encore.systems.isc_track1.published_pictures import (
    pixels_digest,
    published_boxes,
    published_picture,
)

PROPOSALS = json.loads(gzip.open(str(golden("isc/proposals.json.gz"))).read().decode())
BOXES = published_boxes()


def photo(name):
    return Image.open(str(golden("isc/" + PROPOSALS[name]["photo"])))


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def suffix(name):
    return int(name.rsplit("_", 1)[1][:-4])


@pytest.mark.parametrize("script", ["center", "rotate"])
def test_fixed_crops_are_the_published_ones(script):
    whole = 0
    for entry in BOXES[script]:
        if min(entry["size"]) < 3:
            continue
        whole, pictures = whole + 1, fixed_crops(published_picture(entry["size"]))
        for name, _, _, size, quality, digest in entry["made"]:
            assert quality == 100
            assert pictures[suffix(name)].size == tuple(size)
            assert pixels_digest(pictures[suffix(name)]) == digest
    assert whole == 38


def test_together_the_scripts_make_suffixes_0_to_8():
    made = [{suffix(entry[0]) for entry in BOXES[script][0]["made"]} for script in ("center", "rotate")]
    assert set(fixed_crops(published_picture((101, 67)))) == made[0] | made[1] == set(range(9))


@pytest.mark.parametrize("size, crop", [((1, 1), 4), ((2, 3), 6), ((2, 100), 6), ((100, 2), 7)])
def test_a_picture_at_which_the_published_scripts_stop_is_rejected(size, crop):
    reason = "crop {} of its {} x {} pixels is empty: the published run stops".format(crop, *size)
    with pytest.raises(RejectedImage, match=reason):
        augmented_query("Q1.png", png(published_picture(size)), None)


def test_the_published_scripts_stop_there_too():
    stopped = {tuple(entry["size"]): entry["made"] for entry in BOXES["center"] if "error" in entry}
    made = {size: [suffix(entry[0]) for entry in entries] for size, entries in stopped.items()}
    assert made == {(1, 1): [0], (2, 3): [0, 4, 5]}


def test_the_smallest_picture():
    assert len(augmented_query("Q1.png", png(published_picture((3, 3))), ProposalParameters())) == 9


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_proposals_are_the_published_crops_in_the_published_order(name):
    image = photo(name)
    boxes = proposal_boxes(image)
    for number, (box, made) in enumerate(zip(boxes, PROPOSALS[name]["made"]), 10):
        assert made[0] == "Q50000_{}.jpg".format(number)
        assert made[2] == "crop:{},{},{},{}".format(*box)
        assert pixels_digest(image.crop(box)) == made[5]
    assert len(boxes) == len(PROPOSALS[name]["made"])


def test_most_keeps_the_first_proposals():
    image, few = photo("coffee"), ProposalParameters(most=2)
    assert proposal_boxes(image, few) == proposal_boxes(image)[:2]


def test_candidates_by_hand():
    boxes = np.array(
        [
            (0, 0, 10, 5),  # 10 x 5: exactly 2 to 1 stays
            (0, 0, 11, 5),  # longer: out
            (0, 0, 5, 11),  # higher: out
            (3, 4, 9, 9),  # too few pixels
            (3, 4, 9, 9),  # the same rectangle with enough
            (0, 0, 10, 5),  # again: out
            (1, 1, 1, 9),  # no width: the published script divides by zero
            (7, 7, 7, 7),
        ]
    )
    sizes = np.array([20, 20, 20, 19, 20, 50, 20, 20])
    regions = Regions(boxes, sizes, np.full((8, 2), -1))
    assert candidates(regions, 20, 2.0) == [(0, 0, 10, 5), (3, 4, 6, 5)]


def test_detection_crops_are_the_published_ones():
    made = {entry[0]: entry for entry in BOXES["detections"]["made"]}
    for entry in BOXES["detections"]["input"]:
        data = png(published_picture(entry["size"]))
        pictures = augmented_query(entry["name"], data, None, np.array(entry["detections"]), 640)
        for picture in pictures:
            if suffix(picture.name) >= 1000:
                assert picture.size == tuple(made.pop(picture.name)[3])
    assert made == {}


def test_names_come_in_string_order_and_files_are_jpeg_of_quality_100():
    rows = np.array([[1.0, 1, 50, 60, 0.9, 0], [2, 2, 9, 9, 0.5, 1], [3, 3, 30, 40, 0.4, 0]])
    pictures = augmented_query("Q50000.jpg", png(photo("coffee")), ProposalParameters(), rows, 100)
    suffixes = "0 1 10 1000 1002 11 12 13 2 3 4 5 6 7 8".split()
    assert [picture.name for picture in pictures] == ["Q50000_{}.jpg".format(k) for k in suffixes]
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.file))
        assert (image.format, image.size, image.mode) == ("JPEG", picture.size, "RGB")
        assert {max(table) for table in image.quantization.values()} == {1}
    file = io.BytesIO()
    photo("coffee").save(file, "JPEG", quality=100)
    assert pictures[0].file == file.getvalue()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes_stay_but_stop_the_search_as_published(mode):
    file = io.BytesIO()
    photo("coffee").convert(mode).save(file, "JPEG", quality=95)
    pictures = augmented_query("Q1.jpg", file.getvalue(), None)
    assert [Image.open(io.BytesIO(picture.file)).mode for picture in pictures] == [mode] * 9
    with pytest.raises(RejectedImage, match="mode {}: selective search needs 3 channels".format(mode)):
        augmented_query("Q1.jpg", file.getvalue(), ProposalParameters())
    converting = dataclasses.replace(ProposalParameters(), to_rgb=True)
    assert len(augmented_query("Q1.jpg", file.getvalue(), converting)) > 9


def test_modes_that_jpeg_cannot_hold_and_broken_files_are_rejected():
    with pytest.raises(RejectedImage, match="mode RGBA cannot be written as JPEG"):
        augmented_query("Q1.png", png(photo("coffee").convert("RGBA")), None)
    with pytest.raises(RejectedImage, match="not a readable picture"):
        augmented_query("Q1.png", b"no picture", None)


def test_a_detection_without_pixels_is_rejected():
    rows = np.array([[5.0, 5, 5.2, 20, 0.9, 0]])
    with pytest.raises(RejectedImage, match="detection 0 is a box of 0x15 pixels"):
        augmented_query("Q1.png", png(photo("coffee")), None, rows, 200)
