import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from golden_files import golden
from PIL import Image

from encore.data.manifest import verify_manifest
from encore.data.shards import ShardSet, ShardWriter, write_manifest
from encore.detection.detections import write_detections
from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.isc_track1 import augmented_queries
from encore.systems.isc_track1.augmented_queries import (
    CropQueriesParameters,
    detections_digest,
    open_detections,
    write_augmented_queries,
)
from encore.systems.isc_track1.query_crops import ProposalParameters
from encore.systems.isc_track1.small_queries import small_name
from stages.isc_track1 import crop_queries

PUBLISHED = CropQueriesParameters(
    workers=1,
    queries_per_shard=2,
    max_rejected=0,
    detections=None,
    selective_search=ProposalParameters(least=300),
)
FUSE = dict(
    ground_truth="data/isc_track1/queries/ground_truth.csv",
    faces="faces",
    queries="data/isc_track1/queries",
    first_query=0,
    query_count=5,
    penalty=0.05,
    unpenalised_crops=20,
    max_results=10,
    intermediate=False,
    unlabelled="refuse",
)
TRUTH = "query_id,reference_id\nQ00000,R000007\nQ00001,\nQ00001,R000001\nQ00002,\nQ00003,R000002\nQ00004,\n"


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def query_set(folder, files, truth=TRUTH, names=None):
    os.makedirs(str(folder))
    writer = ShardWriter(folder, 0)
    for i, file in enumerate(files):
        writer.add(names[i] if names else "Q{:05d}.jpg".format(i), file, i)
    write_manifest(folder, [writer.close()], "test")
    if truth:
        (folder / "ground_truth.csv").write_text(truth)
    return folder


@pytest.fixture
def pictures():
    photo = Image.open(str(golden("isc/photo_coffee_200x150.png")))
    return [jpeg(photo.crop((10 * i, 5 * i, 10 * i + 90, 5 * i + 80))) for i in range(5)]


@pytest.fixture
def queries(tmp_path, pictures):
    return query_set(tmp_path / "queries", pictures)


def write(folder, queries, parameters=PUBLISHED):
    os.makedirs(str(folder), exist_ok=True)
    found = open_detections(parameters, ShardSet(queries))
    return write_augmented_queries(folder, queries, parameters, found, "digest")


def test_data_set_and_lists(queries, tmp_path):
    write_detections(
        tmp_path / "found",
        ["Q00000.jpg", "Q00003.jpg"],
        [[[2, 3, 60, 50, 0.9, 0], [5, 5, 9, 9, 0.8, 1], [2, 3, 20, 50, 0.7, 0]], []],
        90,
    )
    parameters = dataclasses.replace(PUBLISHED, detections=str(tmp_path / "found"), small=(10, 20, 46))
    made = write(tmp_path / "out", queries, parameters)
    images = ShardSet(tmp_path / "out")
    assert verify_manifest(tmp_path / "out", content=True) == []
    assert made.queries == 5 and made.augmented == len(images)
    assert made.detections == 2 and made.proposals == len(images) - 45 - 2 > 0
    assert {"Q00000_1000.jpg", "Q00000_1002.jpg"} < set(images.names)
    assert images.names == sorted(images.names)
    assert (tmp_path / "out" / "dev_queries_exp_VD").read_text().split("\n") == [n[:-4] for n in images.names]
    assert [int(name[1:6]) for name in images.names] == images.labels.tolist()
    assert (tmp_path / "out" / "ground_truth.csv").read_text() == TRUTH
    narrow = set()
    for i, name in enumerate(images.names):
        if min(Image.open(io.BytesIO(images.read(i))).size) < 46:
            narrow.add(name[:-4])
    assert small(tmp_path / "out", 200) == narrow and made.small[200] == len(narrow) > 0
    assert small(tmp_path / "out", 150) == {"Q00000_1002"}
    assert not [name for name in os.listdir(str(tmp_path / "out")) if name.startswith("sizes")]


def small(folder, side):
    return set(np.load(str(folder / small_name(side))).tolist())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in os.listdir(str(folder)) if name != "rejected.json"}


def test_the_same_bits_with_two_workers_and_after_a_kill(queries, tmp_path, monkeypatch):
    write(tmp_path / "one", queries)
    write(tmp_path / "two", queries, dataclasses.replace(PUBLISHED, workers=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    whole, calls = augmented_queries.augmented_query, []

    def killed(name, *rest):
        calls.append(name)
        if name == "Q00003.jpg":
            raise KeyboardInterrupt
        return whole(name, *rest)

    monkeypatch.setattr(augmented_queries, "augmented_query", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "again", queries)
    monkeypatch.setattr(augmented_queries, "augmented_query", lambda *a: calls.append(a[0]) or whole(*a))
    write(tmp_path / "again", queries)
    # The first shard (two queries) is not made twice.
    assert calls == ["Q{:05d}.jpg".format(i) for i in (0, 1, 2, 3, 2, 3, 4)]
    left = {name for name in contents(tmp_path / "again") if ".tmp-" in name}
    assert {k: v for k, v in contents(tmp_path / "again").items() if k not in left} == contents(
        tmp_path / "one"
    )


def test_every_second_query_with_its_truth(queries, tmp_path):
    made = write(tmp_path / "out", queries, dataclasses.replace(PUBLISHED, every=2, selective_search=None))
    assert made.queries == 3 and made.augmented == 27
    assert {name[:6] for name in ShardSet(tmp_path / "out").names} == {"Q00000", "Q00002", "Q00004"}
    truth = (tmp_path / "out" / "ground_truth.csv").read_text()
    assert truth == "query_id,reference_id\nQ00000,R000007\nQ00002,\nQ00004,\n"


def test_a_query_at_which_the_published_run_stops_is_rejected_whole(tmp_path, pictures):
    pictures[1], pictures[3] = jpeg(Image.new("RGB", (2, 3))), jpeg(Image.new("L", (90, 80)))
    queries = query_set(tmp_path / "queries", pictures)
    with pytest.raises(
        Refusal, match="2 of the source pictures .* the first is Q00001.jpg: crop 6 of its 2 x 3"
    ):
        write(tmp_path / "out", queries)
    write(tmp_path / "out", queries, dataclasses.replace(PUBLISHED, max_rejected=2))
    rejected = json.loads((tmp_path / "out" / "rejected.json").read_text())
    assert [row["name"] for row in rejected] == ["Q00001.jpg", "Q00003.jpg"]
    assert "mode L: selective search needs 3 channels" in rejected[1]["reason"]
    assert {name[:6] for name in ShardSet(tmp_path / "out").names} == {"Q00000", "Q00002", "Q00004"}
    # They still count: what is not found is missed.
    assert (tmp_path / "out" / "ground_truth.csv").read_text() == TRUTH


def test_detections_of_other_pictures_are_refused(queries, tmp_path):
    write_detections(tmp_path / "found", ["Q00009.jpg"], [[[2, 3, 60, 50, 0.9, 0]]], 90)
    with pytest.raises(Refusal, match="the first is Q00009.jpg"):
        write(tmp_path / "out", queries, dataclasses.replace(PUBLISHED, detections=str(tmp_path / "found")))


def test_the_digest_depends_on_every_detection(queries, tmp_path):
    source, digests = ShardSet(queries), {detections_digest(None, ShardSet(queries))}
    for number, (name, x, size) in enumerate(
        [("Q00001.jpg", 2, 90), ("Q00001.jpg", 3, 90), ("Q00002.jpg", 2, 90), ("Q00001.jpg", 2, 64)]
    ):
        folder = str(tmp_path / str(number))
        write_detections(folder, [name], [[[x, 3, 60, 50, 0.9, 0]]], size)
        digests.add(
            detections_digest(
                open_detections(dataclasses.replace(PUBLISHED, detections=folder), source), source
            )
        )
    assert len(digests) == 5


def test_names_that_would_collide_and_missing_truth_are_refused(tmp_path, pictures):
    same = query_set(tmp_path / "same", pictures[:2], names=["Q00000.jpg", "Q00000.png"])
    with pytest.raises(Refusal, match="Q00000.png: expected names that differ before an extension"):
        write(tmp_path / "out", same)
    long = query_set(tmp_path / "long", pictures[:1], names=["Q00000.jpeg"])
    with pytest.raises(Refusal, match="Q00000.jpeg: expected names"):
        write(tmp_path / "out", long)
    bare = query_set(tmp_path / "bare", pictures[:1], truth=None)
    with pytest.raises(Refusal, match="ground_truth.csv: missing"):
        write(tmp_path / "out", bare)


def test_parameters_are_checked():
    values = dataclasses.asdict(PUBLISHED)
    assert from_mapping(CropQueriesParameters, values, "file: key") == PUBLISHED
    with pytest.raises(Refusal, match="file: key: small: expected three growing sides"):
        from_mapping(CropQueriesParameters, dict(values, small=[100, 50, 200]), "file: key")
    with pytest.raises(Refusal, match="selective_search.overlap: expected 0 to 1"):
        search = dict(values["selective_search"], overlap=1.5)
        from_mapping(CropQueriesParameters, dict(values, selective_search=search), "file: key")
    assert ProposalParameters() == ProposalParameters(500.0, 0.9, 10, 2000, 2.0, 0.5, None, False)
    assert "workers" not in PUBLISHED.recipe() and PUBLISHED.recipe()["every"] == 1


@pytest.fixture
def run_stage(tmp_path, pictures, monkeypatch):
    """Run the stage on every second one of five queries with this ground truth and these values of `fuse`."""

    def run(truth=TRUTH, first=0, **fuse):
        names = ["Q{:05d}.jpg".format(first + i) for i in range(len(pictures))]
        query_set(tmp_path / "data" / "isc_queries", pictures, truth, names)
        fuse = dict(FUSE, first_query=first, **fuse)
        (tmp_path / "params.yaml").write_text(
            "isc_track1:\n  crop_queries: {workers: 1, queries_per_shard: 3, max_rejected: 0, every: 2,\n"
            "    detections: null, selective_search: {least: 300, most: 2}, small: [10, 20, 46]}\n"
            "  fuse: " + json.dumps(fuse) + "\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["crop_queries"])
        monkeypatch.delenv("ENCORE_ENVIRONMENT", raising=False)
        crop_queries.main()

    return run


def test_stage(tmp_path, run_stage):
    run_stage()
    images = ShardSet("data/isc_track1/queries")
    metrics = json.loads((tmp_path / "metrics" / "isc_track1" / "crop_queries.json").read_text())
    assert sorted(metrics) == [
        "augmented",
        "detections",
        "proposals",
        "queries",
        "small_100",
        "small_150",
        "small_200",
    ]
    assert metrics["queries"] == 3 and metrics["augmented"] == len(images) == 27 + metrics["proposals"]
    assert 0 < metrics["proposals"] <= 6
    assert len(np.load("data/isc_track1/queries/query_wrong_200_VD.npy")) == metrics["small_200"] > 0


LACKS_Q2 = TRUTH.replace("Q00002,\n", "")


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (
            LACKS_Q2,
            "data/isc_queries: row 3: the query Q00002 is not in data/isc_queries/ground_truth.csv: take the "
            "ground truth of all queries, or set isc_track1.fuse.unlabelled to drop",
        ),
        (
            TRUTH + "Q00005,R000001\n",
            "data/isc_queries/ground_truth.csv: line 8: the query Q00005 is none of this test's, Q00000 to "
            "Q00004: take their ground truth",
        ),
        (TRUTH + "Q00004,T000001\n", "ground_truth.csv: line 8: expected an id of R and 6 digits"),
        ("query_id,reference_id\nQ00000,\n", "ground_truth.csv: expected at least one true pair, found none"),
        # a pair only of a query that is not taken
        (
            "Q00000,\nQ00001,R000001\nQ00002,\nQ00004,\n",
            "expected at least one true pair of the 3 queries taken of data/isc_queries, found none",
        ),
    ],
)
def test_the_stage_refuses_before_its_work_what_fuse_would_refuse(
    tmp_path, run_stage, monkeypatch, truth, said
):
    monkeypatch.setattr(crop_queries, "write_augmented_queries", None)  # the work: not to be begun
    with pytest.raises(Refusal) as refusal:
        run_stage(truth)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)
    assert not (tmp_path / "data" / "isc_track1").exists()


def test_the_stage_lets_pass_what_fuse_lets_pass(tmp_path, run_stage):
    run_stage(LACKS_Q2.replace("Q00003,R000002\n", ""), unlabelled="drop")
    truth = (tmp_path / "data/isc_track1/queries/ground_truth.csv").read_text()
    assert truth == "query_id,reference_id\nQ00000,R000007\nQ00004,\n"


def test_a_query_that_is_not_taken_need_not_be_labelled(run_stage):
    run_stage(TRUTH.replace("Q00003,R000002\n", ""))


def test_the_stage_checks_the_file_that_fuse_names(tmp_path, run_stage, monkeypatch):
    (tmp_path / "whole.csv").write_text(TRUTH)
    run_stage(LACKS_Q2, ground_truth="whole.csv")
    shutil.rmtree(str(tmp_path / "data"))
    (tmp_path / "whole.csv").write_text(LACKS_Q2)
    monkeypatch.setattr(crop_queries, "write_augmented_queries", None)
    with pytest.raises(Refusal, match="data/isc_queries: row 3: the query Q00002 is not in whole.csv"):
        run_stage(TRUTH, ground_truth="whole.csv")
    shutil.rmtree(str(tmp_path / "data" / "isc_queries"))
    with pytest.raises(Refusal, match="gone.csv: missing"):
        run_stage(TRUTH, ground_truth="gone.csv")


def test_queries_of_another_numbering_are_refused(run_stage):
    with pytest.raises(Refusal, match="line 2: the query Q00000 is none of this test's, Q50000 to Q50004"):
        run_stage(first=50000)
