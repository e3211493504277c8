import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from encore.data.shard_writing import write_data_set
from encore.data.shards import ShardSet
from encore.detection.detections import write_detections
from encore.detection.overlay_crops import detection_crops
from encore.runtime.refusal import Refusal
from encore.systems.isc.generation import jpeg
from encore.systems.isc.query_set import GROUND_TRUTH
from encore.systems.isc_track2.overlay_crop import CROPPERS, crop_query_set

NAMES = ["Q00000.jpg", "Q00001.jpg", "Q00002.jpg", "Q00003.jpg"]
OVERLAY, SECOND, EMOJI = [8, 8, 40, 40, 0.6, 0], [0, 0, 64, 64, 0.5, 0], [2, 2, 30, 30, 0.9, 1]
ROWS = [np.array(rows, float).reshape(-1, 6) for rows in ([EMOJI, OVERLAY, SECOND], [EMOJI], [], [SECOND])]


@pytest.fixture
def queries(tmp_path):
    """Four queries of 96x96 as a data set, and detections of them in a frame of 64."""
    folder = tmp_path / "queries"
    folder.mkdir()
    pictures = [Image.effect_noise((96, 96), 30 + 20 * i).convert("RGB") for i in range(len(NAMES))]
    images = [(name, jpeg(image, 100), i) for i, (name, image) in enumerate(zip(NAMES, pictures))]
    write_data_set(str(folder), [images], lambda: lambda unit: unit, 1, "digest", 0, "queries")
    (folder / GROUND_TRUTH).write_text("query_id,reference_id\nQ00000,R000000\n")
    write_detections(tmp_path / "detections", NAMES, ROWS, 64)
    return tmp_path


def cropped(folder, name, confidence=0.1):
    result = folder / (name + "_result")
    result.mkdir()
    crop = CROPPERS[name](str(folder / "detections"), confidence)
    counts = crop_query_set(folder / "queries", result, crop, "digest")
    return dataclasses.astuple(counts), ShardSet(result)


def test_none_keeps_every_byte(queries):
    counts, result = cropped(queries, "none")
    assert counts == (4, 0)
    assert result.manifest.digest == ShardSet(queries / "queries").manifest.digest
    assert (queries / "none_result" / GROUND_TRUTH).read_text() == (
        queries / "queries" / GROUND_TRUTH
    ).read_text()


def test_the_most_confident_overlay_replaces_the_query(queries):
    counts, result = cropped(queries, "detections")
    source = ShardSet(queries / "queries")
    assert counts == (4, 2) and result.names == NAMES and result.labels.tolist() == [0, 1, 2, 3]
    assert [result.read(i) == source.read(i) for i in range(4)] == [False, True, True, False]
    image = Image.open(io.BytesIO(source.read(0)))
    ((_, crop),) = detection_crops(image, np.array([OVERLAY]), 64)
    assert crop.size == (32, 32)
    assert result.read(0) == jpeg(crop, 100)
    assert (queries / "detections_result" / GROUND_TRUTH).is_file()


def test_below_the_least_confidence_a_query_stays(queries):
    counts, result = cropped(queries, "detections", 0.55)
    assert counts == (4, 1)
    assert result.read(3) == ShardSet(queries / "queries").read(3)


def test_folders_of_published_files_will_do(queries):
    for path in (queries / "detections").iterdir():
        path.unlink()
    np.save(str(queries / "detections" / "Q00003.jpg.npy"), np.array([[80, 80, 400, 400, 0.5, 0.0]]))
    counts, result = cropped(queries, "detections")
    assert counts == (4, 1)
    assert Image.open(io.BytesIO(result.read(3))).size == (320, 320)


def test_a_broken_query_and_missing_detections_are_refused(queries):
    with pytest.raises(Refusal, match="nowhere: no detections.npz"):
        CROPPERS["detections"](str(queries / "nowhere"), 0.1)
    images = [("Q00000.jpg", b"broken", 0)]
    (queries / "other").mkdir()
    write_data_set(str(queries / "other"), [images], lambda: lambda unit: unit, 1, "d", 0, "queries")
    crop = CROPPERS["detections"](str(queries / "detections"), 0.1)
    (queries / "result").mkdir()
    with pytest.raises(Refusal, match="Q00000.jpg: not a readable picture"):
        crop_query_set(queries / "other", queries / "result", crop, "digest")
