import io

import numpy as np
import pytest
from PIL import Image

from encore.data.images import RejectedImage
from encore.systems.isc_track1.reference_parts import PARTS, PartNames, ReferenceParts, reference_boxes
from tests.encore.systems.isc_track1.published_pictures import (
    pixels_digest,
    published_boxes,
    published_picture,
)

DIVIDED = published_boxes()["dividing"]


class Source:
    """References in memory that count how often they are read."""

    def __init__(self, files):
        self.names = ["R{:06d}.jpg".format(i) for i in range(len(files))]
        self.files, self.reads = files, []

    def __len__(self):
        return len(self.files)

    def read(self, i):
        self.reads.append(i)
        return self.files[i]


def png(size, mode="RGB"):
    file = io.BytesIO()
    published_picture(size).convert(mode).save(file, "PNG")
    return file.getvalue()


def test_worked_example():
    boxes = reference_boxes(101, 67)
    assert boxes[:6] == [
        (0, 0, 101, 67),
        (0, 0, 50, 33),
        (50, 0, 101, 33),
        (0, 33, 50, 67),
        (50, 33, 101, 67),
        (25, 16, 75, 50),
    ]
    assert boxes[6:9] == [(0, 0, 33, 22), (33, 0, 67, 22), (67, 0, 101, 22)]
    assert boxes[14] == (67, 44, 101, 67)
    assert boxes[15:] == [(16, 11, 50, 33), (50, 11, 84, 33), (16, 33, 50, 55), (50, 33, 84, 55)]


def test_boxes_and_pixels_are_the_published_ones():
    whole = 0
    for entry in DIVIDED:
        image, boxes = published_picture(entry["size"]), reference_boxes(*entry["size"])
        for part, (name, folder, operation, size, quality, digest) in enumerate(entry["made"]):
            assert (name, folder) == ("R000000_{}.jpg".format(part), "reference_images_exp_{}".format(part))
            assert operation == ("crop:{},{},{},{}".format(*boxes[part]) if part else "")
            assert quality == 100
            picture = image.crop(boxes[part])
            assert (list(picture.size), pixels_digest(picture)) == (size, digest)
        whole += len(entry["made"]) == PARTS
    assert whole == 38


def test_bare_parts_are_the_crops():
    parts = ReferenceParts(Source([png((101, 67)), png((6, 6))]), jpeg_roundtrip=False)
    for row, picture in parts.pictures(range(2 * PARTS)):
        size = ((101, 67), (6, 6))[row // PARTS]
        assert (
            picture.tobytes() == published_picture(size).crop(reference_boxes(*size)[row % PARTS]).tobytes()
        )


def test_a_part_is_what_the_published_file_decodes_to():
    parts = ReferenceParts(Source([png((101, 67))]))
    rows = [0, 7, 18]
    for row, picture in parts.pictures(rows):
        file = io.BytesIO()
        published_picture((101, 67)).crop(reference_boxes(101, 67)[row]).save(file, "JPEG", quality=100)
        assert parts.read(row) == file.getvalue()
        decoded = Image.open(io.BytesIO(file.getvalue()))
        assert np.array_equal(np.asarray(picture), np.asarray(decoded))
        assert not np.array_equal(
            np.asarray(picture), np.asarray(published_picture((101, 67)).crop(reference_boxes(101, 67)[row]))
        )


def test_a_reference_is_read_once_for_rows_that_follow_one_another():
    source = Source([png((30, 20)), png((20, 30)), png((9, 9))])
    parts = ReferenceParts(source)
    assert [row for row, _ in parts.pictures(range(5, 45))] == list(range(5, 45))
    assert source.reads == [0, 1, 2]
    assert [row for row, _ in parts.pictures([40, 3, 41])] == [40, 3, 41]
    assert source.reads == [0, 1, 2, 2, 0, 2]


def test_names():
    source = Source([png((30, 20))] * 3)
    parts = ReferenceParts(source)
    assert len(parts) == len(parts.names) == 57 and parts.group == 19
    assert parts.names[0] == "R000000_0.jpg"
    assert parts.names[19 * 2 + 7] == "R000002_7.jpg" == parts.names[-12]
    assert parts.names[17:21] == ["R000000_17.jpg", "R000000_18.jpg", "R000001_0.jpg", "R000001_1.jpg"]
    assert list(PartNames(["R000000.jpg"]))[18] == "R000000_18.jpg"
    assert source.reads == []
    for row in (57, -58):
        with pytest.raises(IndexError):
            parts.names[row]
        with pytest.raises(IndexError):
            parts.read(row)


def test_parts_that_the_published_run_cannot_make_are_rejected_one_by_one():
    parts = ReferenceParts(Source([png((2, 3)), b"broken", png((20, 20), "RGBA")]))
    found = dict(parts.pictures(range(57)))
    # Published: 2 x 3 pixels give six files and stop at the seventh.
    made = next(entry for entry in DIVIDED if entry["size"] == [2, 3])["made"]
    assert len(made) == 6 and not any(isinstance(found[row], RejectedImage) for row in range(6))
    assert "the crop (0, 0, 0, 1) of 2 x 3 pixels is empty" in found[6].reason
    assert all("not a readable picture" in found[row].reason for row in range(19, 38))
    assert all("mode RGBA cannot be written as JPEG" in found[row].reason for row in range(38, 57))
    with pytest.raises(RejectedImage, match="is empty"):
        parts.read(6)


def test_without_the_round_trip_any_mode_can_be_cut():
    parts = ReferenceParts(Source([png((20, 20), "RGBA")]), jpeg_roundtrip=False)
    assert {picture.mode for _, picture in parts.pictures(range(19))} == {"RGBA"}
