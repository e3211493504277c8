"""The face lists: which pictures are searched, what is chosen, and what is resumed or refused."""

import dataclasses
import json
import os

import numpy
import pytest
from PIL import Image

from encore.runtime.refusal import Refusal
from encore.systems.isc_track1 import faces
from encore.systems.isc_track1.face_detectors import CascadeParameters, FaceRecognitionParameters
from encore.systems.isc_track1.faces import FaceParameters, enlarged, read_chosen, read_face_del, write_faces

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../..")


class BrightDetector:
    """Finds one face, the whole picture, where the first pixel is bright."""

    library, version = "test", "1"

    def boxes(self, image):
        return [[0, 0] + list(image.size)] if image.convert("L").getpixel((0, 0)) > 127 else []


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """candidates T000000 ... T000011, bright at 1, 2, 5, 6, 10; references R000000 ... R000003, bright at 3
    and 1."""
    for folder, prefix, count, bright in (("c", "T", 12, (1, 2, 5, 6, 10)), ("r", "R", 4, (3, 1))):
        (tmp_path / folder).mkdir()
        for i in range(count):
            picture = Image.new("RGB", (16, 24), (200,) * 3 if i in bright else (9,) * 3)
            picture.save(str(tmp_path / folder / "{}{:06d}.png".format(prefix, i)))
    monkeypatch.setattr(faces, "make_detector", lambda *unused: BrightDetector())
    return tmp_path


def parameters(folder, **changes):
    values = dict(
        candidates=str(folder / "c"),
        except_every=None,
        most=None,
        references=str(folder / "r"),
        face_del=None,
        detector="cascade",
        cascade=CascadeParameters(1.15, 1.0, 36, 96, 1),
        face_recognition=FaceRecognitionParameters(1),
        crops=False,
        workers=1,
        pictures_per_chunk=4,
        max_rejected=0,
    )
    return FaceParameters(**dict(values, **changes))


def write(folder, values):
    os.makedirs(str(folder), exist_ok=True)
    return write_faces(folder, values)


def names(*numbers):
    return tuple("T{:06d}.png".format(number) for number in numbers)


def test_all_candidates_with_a_face_are_chosen_with_their_boxes(pictures):
    found = write(pictures / "out", parameters(pictures))
    assert tuple(found) == (12, 5, 5, 2)
    assert read_chosen(pictures / "out") == (str(pictures / "c"), names(1, 2, 5, 6, 10))
    content = json.loads((pictures / "out" / "faces.json").read_text())
    assert content["pictures"][0] == {"name": "T000001.png", "boxes": [[0, 0, 16, 24]]}
    assert content["detector"]["library"] == "test" and content["detector"]["parameters"]["min_size"] == 36
    ids = numpy.load(str(pictures / "out" / "face_del.npy"))
    assert ids.dtype == numpy.dtype("<U7") and ids.tolist() == ["R000001", "R000003"]
    assert sorted(os.listdir(str(pictures / "out"))) == ["face_del.npy", "faces.json"]


def test_classes_of_the_base_set_are_no_candidates(pictures):
    # positions 0, 5 and 10 are classes already
    found = write(pictures / "out", parameters(pictures, except_every=5))
    assert tuple(found) == (9, 3, 3, 2)
    assert read_chosen(pictures / "out").names == names(1, 2, 6)


def test_a_limit_ends_the_search_with_its_chunk(pictures):
    found = write(pictures / "out", parameters(pictures, most=3))
    assert tuple(found) == (8, 4, 3, 2)  # chunks of 4: the third face lies in the second chunk
    assert read_chosen(pictures / "out").names == names(1, 2, 5)


def test_any_number_of_workers_and_a_resumed_run_give_the_same_files(pictures):
    write(pictures / "one", parameters(pictures))
    two = pictures / "two"
    two.mkdir()
    chunk = {"faces": [["T000005.png", [[1, 2, 3, 4]]]], "rejected": [], "detector": {}}
    (two / "candidates-4-00001.chunk.json").write_text(json.dumps(chunk))
    write(two, parameters(pictures, workers=3))
    content = json.loads((two / "faces.json").read_text())["pictures"]
    assert [entry["name"] for entry in content] == list(names(1, 2, 5, 10))  # what was done is not done again
    write(pictures / "three", parameters(pictures, workers=3))
    for name in ("faces.json", "face_del.npy"):
        assert (pictures / "one" / name).read_bytes() == (pictures / "three" / name).read_bytes()


def test_a_broken_picture_is_named(pictures):
    (pictures / "c" / "T000003.png").write_bytes(b"")
    with pytest.raises(Refusal, match="1 of the candidates .* T000003.png: the file is empty"):
        write(pictures / "strict", parameters(pictures))
    assert tuple(write(pictures / "out", parameters(pictures, max_rejected=1))) == (12, 5, 5, 2)


def test_the_published_list_is_used_as_it_is(pictures):
    path = pictures / "published.npy"
    numpy.save(str(path), numpy.array(["R000000", "R000002", "R000003"], "<U7"))
    found = write(pictures / "out", parameters(pictures, face_del=str(path)))
    assert found.references_with_face == 3
    assert (pictures / "out" / "face_del.npy").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "ids, message",
    [
        (numpy.array(["R000000"], "<U8"), "expected one dimension of dtype <U7"),
        (numpy.array([["R000000"]], "<U7"), "expected one dimension"),
        (numpy.array([1, 2]), "expected one dimension of dtype <U7"),
        (numpy.array(["R000001", "R000000"], "<U7"), "row 1: R000000 after R000001"),
        (numpy.array(["R000001", "R000001"], "<U7"), "come once"),
        (numpy.array(["R000001", "R000009"], "<U7"), "R000009 is not among the references"),
    ],
)
def test_another_list_is_refused(pictures, ids, message):
    path = pictures / "list.npy"
    numpy.save(str(path), ids)
    with pytest.raises(Refusal, match=message):
        write(pictures / "out", parameters(pictures, face_del=str(path)))
    assert os.listdir(str(pictures / "out")) == []  # before any search


def test_a_list_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(Refusal, match="missing: give the published face_del.npy"):
        read_face_del(tmp_path / "none.npy", [])
    (tmp_path / "text.npy").write_text("R000007")
    with pytest.raises(Refusal, match="not a .npy file"):
        read_face_del(tmp_path / "text.npy", [])


def test_crops_are_enlarged_by_an_eighth_of_the_picture_within_it(pictures):
    # a picture of 160 x 80: 20 more to the left and right, 10 more up and down
    assert enlarged((50, 30, 70, 40), (160, 80)) == (30, 20, 90, 50)
    assert enlarged((5, 30, 150, 79), (160, 80)) == (0, 20, 160, 80)
    write(pictures / "out", parameters(pictures, crops=True))
    folder = pictures / "out" / "reference_images_exp_face"
    assert sorted(os.listdir(str(folder))) == ["R000001_20.jpg", "R000003_20.jpg"]
    assert Image.open(str(folder / "R000001_20.jpg")).size == (16, 24)


def test_no_candidates_and_long_ids_are_refused(pictures):
    with pytest.raises(Refusal, match="no candidates"):
        write(pictures / "out", parameters(pictures, except_every=1))
    (pictures / "r" / "R0000004.png").write_bytes((pictures / "r" / "R000001.png").read_bytes())
    with pytest.raises(Refusal, match="R0000004.png: the id has more than 7 characters"):
        write(pictures / "out", parameters(pictures))


def test_a_missing_or_foreign_list_of_faces_is_refused(tmp_path):
    with pytest.raises(Refusal, match="run the stage `faces` first"):
        read_chosen(tmp_path)
    (tmp_path / "faces.json").write_text("[]")
    with pytest.raises(Refusal, match="no list of pictures with faces"):
        read_chosen(tmp_path)


def test_the_recipe_leaves_the_other_detector_and_the_workers_out(pictures):
    one, other = parameters(pictures), parameters(pictures, workers=7)
    assert one.recipe() == other.recipe() and "face_recognition" not in one.recipe()
    assert dataclasses.replace(one, most=3).recipe() != one.recipe()


def test_the_embedded_candidates(tmp_path):
    """Of 101 faces and 100 others the cascade finds 95 and 0, in both environments; among the references the
    cat."""
    pytest.importorskip("skimage")
    values = parameters(
        tmp_path,
        candidates=os.path.join(ROOT, "mini", "faces.tar#faces"),
        references=os.path.join(ROOT, "mini", "photos.tar#references"),
    )
    import yaml

    found = write(tmp_path / "out", values)
    with open(os.path.join(ROOT, "mini", "faces.yaml"), encoding="utf-8") as file:
        shown = set(yaml.safe_load(file)["faces"])
    chosen = set(read_chosen(tmp_path / "out").names)
    assert len(shown) == 101 and (len(chosen & shown), len(chosen - shown)) == (95, 0)
    assert tuple(found) == (201, 95, 95, 1)
    assert numpy.load(str(tmp_path / "out" / "face_del.npy")).tolist() == ["R000024"]
