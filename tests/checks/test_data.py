from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
import yaml

from checks.cli import main
from checks.data import check_data, list_files
from checks.raw_data.inputs import read_inputs
from checks.size import PROJECT
from encore.runtime.refusal import Refusal


def entry(**changes):
    return {
        "path": "raw/photos",
        "used_by": "isc",
        "count": 3,
        "first": "P0.jpg",
        "last": "P2.jpg",
        "licence": "CC0",
        "source": "the photographer",
        "place": "raw/photos",
        **changes,
    }


@pytest.fixture
def size(tmp_path):
    (tmp_path / "raw/photos").mkdir(parents=True)
    for i in range(3):
        (tmp_path / f"raw/photos/P{i}.jpg").write_bytes(b"x" * (i + 1))
    return tmp_path


def describe(size, **inputs):
    (size / "inputs.yaml").write_text(yaml.safe_dump(inputs))


def test_a_complete_folder_is_recorded(size):
    describe(size, photos=entry())
    check_data(size)
    assert json.loads((size / "inputs/photos.json").read_text()) == {
        "dataset": "photos",
        "path": "raw/photos",
        "count": 3,
        "bytes": 6,
        "licence": "CC0",
        "names_sha256": hashlib.sha256(b"P0.jpg\nP1.jpg\nP2.jpg\n").hexdigest(),
    }


def test_an_unchanged_record_is_not_touched_and_a_changed_one_is(size):
    describe(size, photos=entry())
    check_data(size)
    path = size / "inputs/photos.json"
    before = path.stat().st_mtime_ns, path.read_bytes()
    check_data(size)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    (size / "raw/photos/P1.jpg").write_bytes(b"longer")
    check_data(size)
    assert path.read_bytes() != before[1]


def test_hidden_files_and_folders_are_passed_over(size):
    (size / "raw/photos/.DS_Store").write_bytes(b"")
    (size / "raw/photos/more").mkdir()
    describe(size, photos=entry())
    assert check_data(size)[0]["count"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 4}, "3 files, expected 4"),
        ({"first": "P1.jpg"}, "first file P0.jpg, expected P1.jpg"),
        ({"last": "P9.jpg"}, "last file P2.jpg, expected P9.jpg"),
        ({"path": "raw/other"}, "nothing at raw/other"),
        (
            {"path": "raw/photos/P0.jpg", "count": 1, "first": None, "last": None, "sha256": "0" * 64},
            "SHA-256",
        ),
    ],
)
def test_wrong_data_are_refused_with_what_where_from_and_where_to(size, changes, message):
    describe(size, photos=entry(**changes))
    with pytest.raises(Refusal) as refusal:
        check_data(size)
    text = str(refusal.value)
    assert f"photos: {message}" in text
    assert "get it from: the photographer" in text and f"put it at:   {size / 'raw/photos'}" in text
    assert not (size / "inputs/photos.json").exists()


def test_one_refusal_names_every_wrong_set_and_right_ones_are_recorded(size, capsys):
    describe(size, photos=entry(), a=entry(path="raw/a"), b=entry(path="raw/b"))
    with pytest.raises(SystemExit) as end:
        main(["data", "--size", str(size)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and "2 of 3 raw data sets" in error and "Traceback" not in error
    assert "  a: nothing" in error and "  b: nothing" in error and (size / "inputs/photos.json").exists()


def test_folders_of_classes_are_listed_with_their_folder(size):
    (size / "raw/classes/b").mkdir(parents=True)
    (size / "raw/classes/a").mkdir()
    for name, content in (("b/1.png", b"x"), ("a/2.png", b"xx"), ("a/.hidden", b"xxx")):
        (size / "raw/classes" / name).write_bytes(content)
    described = entry(path="raw/classes", count=2, first="a/2.png", last="b/1.png")
    describe(size, classes=described)
    assert check_data(size)[0]["bytes"] == 3
    (size / "raw/classes/a/2.png").unlink()
    with pytest.raises(Refusal, match="classes: 1 files, expected 2; first file b/1.png, expected a/2.png"):
        check_data(size)


def test_what_one_family_of_systems_starts_from_can_be_asked_for(size):
    describe(size, photos=entry(), a=entry(path="raw/a", used_by="fkd"))
    assert [row["dataset"] for row in check_data(size, used_by="isc")] == ["photos"]
    with pytest.raises(Refusal, match="nothing is used by drip; known are fkd, isc"):
        check_data(size, used_by="drip")


def test_one_set_can_be_asked_for(size):
    describe(size, photos=entry(), a=entry(path="raw/a"))
    assert [row["dataset"] for row in check_data(size, ["photos"])] == ["photos"]
    with pytest.raises(Refusal, match="no data set c; known are"):
        check_data(size, ["c"])


def test_members_of_a_tar_and_single_files(size):
    with tarfile.open(size / "all.tar", "w") as tar:
        for name in ("train/T1.png", "train/T0.png", "test/Q0.png"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"ab"))
    digest = hashlib.sha256((size / "all.tar").read_bytes()).hexdigest()
    describe(
        size,
        train=entry(path="all.tar#train", count=2, first="T0.png", last="T1.png", sha256=digest),
        weights=entry(path="all.tar", count=1, first="all.tar", last=None),
    )
    train, weights = check_data(size)
    assert (train["count"], train["bytes"], train["sha256"]) == (2, 4, digest)
    assert (weights["count"], weights["sha256"]) == (1, digest)
    assert list_files(size / "other.tar#train") is None


def test_a_compressed_tar_is_refused(size):
    with tarfile.open(size / "all.tar.gz", "w:gz"):
        pass
    with pytest.raises(Refusal, match="expected an uncompressed tar"):
        list_files(f"{size / 'all.tar.gz'}#train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a mapping"),
        ("a: [", "not YAML"),
        ("a: {path: x, used_by: isc}", r"a.count: this key is missing"),
        (
            "a: {path: x, used_by: i, count: many, first: null, last: null, licence: l, source: s, place: p}",
            "a.count: expected a whole",
        ),
        (
            "a: {path: x, used_by: isc, count: 0, first: null, last: null, licence: l, source: s, place: p}",
            "a.count: expected 1 or more",
        ),
        (
            "a: {path: x, used_by: i, count: 1, first: a, last: b, licence: l, source: s, place: p, u: 1}",
            "a.u: unknown key",
        ),
    ],
)
def test_a_bad_inputs_file_is_refused_by_file_and_key(tmp_path, text, message):
    (tmp_path / "inputs.yaml").write_text(text)
    with pytest.raises(Refusal, match=message):
        check_data(tmp_path)


def test_no_inputs_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match="inputs.yaml: no such file"):
        check_data(tmp_path)


def test_the_published_size_describes_the_published_data():
    inputs = read_inputs(PROJECT / "inputs.yaml")
    shown = {
        name: (row.count, row.first, row.last)
        for name, row in inputs.items()
        if row.used_by is not None and row.count > 1
    }
    assert shown == {
        "drip_training": (1_000_000, "T000000.jpg", "T999999.jpg"),
        "drip_imagenet": (1_281_167, "n01440764/n01440764_10026.JPEG", None),
        "drip_queries": (50_000, "Q00000.jpg", "Q49999.jpg"),
        "drip_references": (1_000_000, "R000000.jpg", "R999999.jpg"),
        "training_images": (1_000_000, "T000000.jpg", "T999999.jpg"),
        "reference_images": (1_000_000, "R000000.jpg", "R999999.jpg"),
        "query_images": (50_000, "Q50000.jpg", "Q99999.jpg"),
        "foreign_images": (10_001, None, None),
        "face_images": (1_000_000, "T000000.jpg", "T999999.jpg"),
        "pair_queries": (50_000, "Q00000.jpg", "Q49999.jpg"),
        "labelled_training": (1_281_167, "n01440764/n01440764_10026.JPEG", None),
        "labelled_validation": (50_000, "n01440764/ILSVRC2012_val_00000293.JPEG", None),
        "reid_training": (12_936, "0002_c1s1_000451_03.jpg", None),
        "reid_query": (3_368, None, None),
        "reid_gallery": (19_732, None, None),
    }


def test_the_published_sets_that_no_stage_needs_are_described_too():
    inputs = read_inputs(PROJECT / "inputs.yaml")
    optional = {name: row for name, row in inputs.items() if row.used_by is None}
    assert {name: row.count for name, row in optional.items() if not name.startswith("published")} == {
        "imagenet_test": 100_000,
        "drip_imagenet_renamed": 1_431_167,
        "drip_imagenet_order": 1,
        "drip_face_frames": 476_584,
        "drip_face_order": 1,
        "reid_drawn_boxes": 25_259,
        "tiny_imagenet_training": 200 * 501,
        "tiny_imagenet_validation": 10_000,
        "tiny_imagenet_test": 10_000,
    }
    published = {name: row.count for name, row in optional.items() if name.startswith("published")}
    generated = [count for name, count in published.items() if "isc_100k_256" in name]
    assert sorted(generated, key=str) == [2_000_000] * 10 + [None] * 2
    assert published["published_sre2l_in1k_4k_ipc50"] == 50_000
    assert published["published_labels_cutmix"] == 300 * 49


@pytest.mark.parametrize("size", [PROJECT, PROJECT / "mini"])
def test_every_set_says_how_to_get_it_and_every_family_of_pictures_has_its_names(size):
    inputs = read_inputs(size / "inputs.yaml")
    by_access = {}
    for name, row in inputs.items():
        by_access.setdefault(row.access, set()).add(name)
    if size.name == "mini":
        assert by_access == {"open": set(inputs)}
    else:
        assert {"training_images", "reid_training", "ground_truth"} <= by_access["agreement"]
        assert by_access["registration"] == {
            "labelled_training",
            "labelled_validation",
            "drip_imagenet",
            "drip_imagenet_renamed",
            "imagenet_test",
        }
    free = {"foreign_images", "drip_imagenet", "drip_templates"}
    assert not [name for name, row in inputs.items() if not row.names and row.count != 1 and name not in free]


def test_a_set_that_no_stage_needs_may_be_absent_but_not_be_wrong(size):
    describe(size, photos=entry(), extra=entry(path="raw/extra", used_by=None))
    assert [row["dataset"] for row in check_data(size)] == ["photos"]
    (size / "raw/extra").mkdir()
    (size / "raw/extra/P0.jpg").write_bytes(b"x")
    with pytest.raises(Refusal, match="1 of 2 raw data sets.*\n  extra: 1 files, expected 3"):
        check_data(size)
    assert [row["dataset"] for row in check_data(size, used_by="isc")] == ["photos"]


def test_a_set_that_no_stage_needs_is_missed_when_it_is_asked_for(size):
    describe(size, photos=entry(), extra=entry(path="raw/extra", used_by=None))
    with pytest.raises(Refusal, match="extra: nothing at raw/extra"):
        check_data(size, ["extra"])


def named(**changes):
    return entry(names=["P{0..2}.jpg"], **changes)


def test_a_missing_an_extra_and_a_renamed_file_are_named(size):
    describe(size, photos=named())
    assert check_data(size)
    (size / "raw/photos/P1.jpg").rename(size / "raw/photos/P1.JPG")
    with pytest.raises(Refusal, match="photos: P1.jpg is there as P1.JPG\n"):
        check_data(size)
    (size / "raw/photos/P1.JPG").rename(size / "raw/photos/copy of P1.jpg")
    with pytest.raises(Refusal, match="photos: missing: P1.jpg; unexpected: copy of P1.jpg\n"):
        check_data(size)


def test_an_empty_file_is_named(size):
    describe(size, photos=named())
    (size / "raw/photos/P2.jpg").write_bytes(b"")
    with pytest.raises(Refusal, match="photos: empty: P2.jpg\n"):
        check_data(size)


def test_a_stray_file_beside_class_folders_is_named(size):
    for folder in "ab":
        (size / f"raw/classes/{folder}").mkdir(parents=True)
        (size / f"raw/classes/{folder}/1.png").write_bytes(b"x")
    described = entry(
        path="raw/classes", count=2, first=None, last=None, names=["<class>/#.png"], classes="classes.txt"
    )
    (size / "classes.txt").write_text("a\nb\n")
    describe(size, classes=described)
    assert check_data(size)[0]["count"] == 2
    (size / "raw/classes/readme.txt").write_bytes(b"x")
    with pytest.raises(Refusal, match="classes: 3 files, expected 2; unexpected: readme.txt"):
        check_data(size)
    (size / "classes.txt").unlink()
    with pytest.raises(Refusal, match="no list of classes at classes.txt"):
        check_data(size)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"access": "closed"}, "photos.access: expected open, registration, agreement or null, found closed"),
        ({"names": ["P{0..8}.jpg"]}, "photos.count: the names are 9, found 3"),
        ({"names": ["P{2..0}.jpg"]}, r"photos.names\[0\]: `\{2..0\}` in `P\{2..0\}.jpg`"),
        ({"names": ["P{x}.jpg"]}, r"photos.names\[0\]: `\{x\}`"),
        ({"names": ["P{0.jpg"]}, r"photos.names\[0\]: `\{`"),
        ({"names": ["<class>/#.jpg"]}, "photos.classes: expected the file"),
        ({"names": ["#.jpg"], "classes": "c"}, "photos.classes: expected the file"),
        ({"per_group": [3]}, "photos.per_group: expected the fewest and the most"),
        ({"used_by": 3}, "photos.used_by: expected text"),
    ],
)
def test_a_bad_description_is_refused_by_file_and_key(size, changes, message):
    describe(size, photos=entry(**changes))
    with pytest.raises(Refusal, match=message):
        check_data(size)


def test_a_folder_that_may_not_be_listed_is_refused_by_name(size, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    describe(size, photos=entry())
    monkeypatch.setattr("checks.raw_data.listing.os.scandir", denied)
    with pytest.raises(Refusal, match="raw/photos: cannot be listed .Permission denied.: make it readable"):
        check_data(size)
