import io
import json
import os
import signal
import tarfile

import numpy as np
import PIL
import pytest
from golden_files import golden
from PIL import Image

from encore.data.images import RejectedImage
from encore.data.manifest import verify_manifest
from encore.data.published_layout import export_folder
from encore.data.shards import ShardSet
from encore.runtime.parameters import from_mapping
from encore.runtime.refusal import Refusal
from encore.systems.drip import resized_copies
from encore.systems.drip.renaming import rename
from encore.systems.drip.resized_copies import ResizedCopyParameters, square_copy, write_resized_copies
from encore.systems.drip.sample_pictures import SamplePictures
from encore.systems.drip.samples import SampleIds
from tests.encore.killed_run import die, finish, start

FOLDERS = ("training_images", "imagenet_images", "face_frames", "query_images", "reference_images")


def data(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(mode="RGB", size=(30, 20), seed=0):
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], bands)).astype(np.uint8)
    return Image.merge(mode, [Image.fromarray(values[:, :, band]) for band in range(bands)])


def opened(jpeg):
    return Image.open(io.BytesIO(jpeg))


@pytest.fixture
def raw(tmp_path):
    """The published layout: 7 T, 2 I, no F, 2 Q, 3 R, small."""
    for folder, pattern, count in (
        ("training_images", "T{:06d}", 7),
        ("imagenet_images", "I{:07d}", 2),
        ("face_frames", "F{:06d}", 0),
        ("query_images", "Q{:05d}", 2),
        ("reference_images", "R{:06d}", 3),
    ):
        os.makedirs(str(tmp_path / "raw" / folder))
        for number in range(count):
            path = tmp_path / "raw" / folder / (pattern.format(number) + ".jpg")
            path.write_bytes(data(noise(seed=number), "JPEG"))
    (tmp_path / "raw" / "public_ground_truth.csv").write_text(
        "query_id,reference_id\nQ00000,R000001\nQ00001,\n"
    )
    return tmp_path / "raw"


def parameters(raw, **changes):
    values = {folder: str(raw / folder) for folder in FOLDERS}
    values.update(
        ground_truth=str(raw / "public_ground_truth.csv"),
        size=24,
        workers=1,
        images_per_shard=2,
        max_rejected=0,
    )
    return from_mapping(ResizedCopyParameters, dict(values, **changes), "here")


def test_a_copy_is_a_bicubic_square_with_pillows_own_jpeg():
    photo = noise(size=(200, 90))
    copy = square_copy(data(photo))
    assert opened(copy).size == (384, 384) and opened(copy).mode == "RGB"
    plain = photo.resize((384, 384))  # the default filter, as published
    if int(PIL.__version__.split(".")[0]) < 13:
        assert copy == data(plain, "JPEG")  # default quality and subsampling
    else:  # Pillow 13 orders the two passes otherwise
        difference = np.asarray(opened(copy), float) - np.asarray(opened(data(plain, "JPEG")), float)
        assert np.abs(difference).mean() < 0.1
    assert opened(copy).quantization == opened(data(plain, "JPEG", quality=75)).quantization
    assert opened(copy).layer[0][1:3] == (2, 2)  # 4:2:0


def test_a_copy_of_its_own_size_is_only_encoded_again():
    photo = Image.open(str(golden("drip/inputs/photo0.png")))
    assert photo.size == (384, 384)
    assert square_copy(data(photo)) == data(photo, "JPEG")
    assert opened(square_copy(data(photo), 512)).size == (512, 512)


@pytest.mark.parametrize("mode, result", [("RGB", "RGB"), ("L", "L"), ("CMYK", "CMYK")])
def test_modes_that_stay(mode, result):
    picture = data(noise(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert opened(square_copy(picture, 24)).mode == result


def test_bilevel_stays_until_it_is_encoded():
    assert opened(square_copy(data(noise("L").convert("1")), 24)).mode == "L"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_before_the_resize(mode):
    image = noise(mode)
    without = noise(mode)
    without.putalpha(255)
    # Neither composited nor weighted: what lies under full transparency counts as the rest.
    assert square_copy(data(image), 24) == square_copy(data(without), 24)
    assert square_copy(data(image), 24) == square_copy(data(image.convert("RGB")), 24)


def test_palette_with_transparency_becomes_rgb_and_without_is_rejected():
    palette = noise().convert("P")
    assert square_copy(data(palette, transparency=3), 24) == square_copy(data(palette.convert("RGB")), 24)
    with pytest.raises(RejectedImage, match="mode P cannot be written as JPEG"):
        square_copy(data(palette), 24)


def test_other_modes_and_broken_files_are_rejected():
    with pytest.raises(RejectedImage, match="mode I"):
        square_copy(data(Image.new("I;16", (5, 5))), 24)
    for broken in (b"", b"no picture", data(noise(), "JPEG")[:-200]):
        with pytest.raises(RejectedImage):
            square_copy(broken, 24)


def test_metadata_of_the_source_is_not_copied():
    plain = data(noise(), "JPEG")
    assert square_copy(data(noise(), "JPEG", comment=b"made by"), 24) == square_copy(plain, 24)


def test_all_folders_are_written_under_their_names(raw, tmp_path):
    manifests = write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    assert {name: manifest.count for name, manifest in manifests.items()} == {
        "training_images": 7,
        "imagenet_images": 2,
        "face_frames": 0,
        "query_images": 2,
        "reference_images": 3,
    }
    for name in FOLDERS:
        assert verify_manifest(tmp_path / "out" / name, content=True) == []
    training = ShardSet(tmp_path / "out" / "training_images")
    assert training.names == ["T{:06d}.jpg".format(number) for number in range(7)]
    assert training.labels.tolist() == list(range(7))
    assert training.read(3) == square_copy((raw / "training_images" / "T000003.jpg").read_bytes(), 24)
    truth = "public_ground_truth.csv"
    assert (tmp_path / "out" / truth).read_bytes() == (raw / truth).read_bytes()


def test_copies_are_read_by_id_from_data_sets_and_from_files(raw, tmp_path):
    write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    for name in FOLDERS:
        export_folder(tmp_path / "out" / name, tmp_path / "files" / name)
    ids = SampleIds(["T000006", "R000000", "I0000001", "Q00001"])
    for root in ("out", "files"):
        SamplePictures(tmp_path / root).require(ids)
    for sample_id in ids:
        assert SamplePictures(tmp_path / "out").read(sample_id) == SamplePictures(tmp_path / "files").read(
            sample_id
        )
        assert SamplePictures(tmp_path / "out").open(sample_id).size == (24, 24)


def test_same_with_any_number_of_workers(raw, tmp_path):
    one = write_resized_copies(tmp_path / "one", parameters(raw), "digest")
    three = write_resized_copies(tmp_path / "three", parameters(raw, workers=3), "digest")
    assert one == three
    assert parameters(raw).recipe() == parameters(raw, workers=3, max_rejected=1).recipe()
    assert parameters(raw).recipe() != parameters(raw, size=32).recipe()


def counting(monkeypatch):
    made = []

    def square(source, size):
        made.append(size)
        return square_copy(source, size)

    monkeypatch.setattr(resized_copies, "square_copy", square)
    return made


def killed(folder, wanted, count):
    """In a process of its own: the copy number `count` kills the process that makes it."""
    made = []

    def square(source, size):
        made.append(size)
        if len(made) == count:
            die()
        return square_copy(source, size)

    resized_copies.square_copy = square
    write_resized_copies(folder, wanted, "digest")


@pytest.mark.parametrize("count, kept", [(1, 0), (6, 4), (9, 7), (13, 11)])
def test_a_killed_run_goes_on_to_the_same_copies(raw, tmp_path, monkeypatch, count, kept):
    whole = write_resized_copies(tmp_path / "whole", parameters(raw), "digest")
    process = start(killed, tmp_path / "cut", parameters(raw), count)
    assert finish(process) == -signal.SIGKILL
    assert not (tmp_path / "cut" / "public_ground_truth.csv").exists()
    made = counting(monkeypatch)
    # T in shards of 2, 2, 2, 1, then I, Q, R in theirs: what is whole by then is not made again.
    assert write_resized_copies(tmp_path / "cut", parameters(raw), "digest") == whole
    assert len(made) == 14 - kept
    for name in FOLDERS:
        assert verify_manifest(tmp_path / "cut" / name, content=True) == []
        for shard in whole[name].shards:
            cut, one = (tmp_path / place / name / shard.tar for place in ("cut", "whole"))
            assert cut.read_bytes() == one.read_bytes()


def test_a_set_whose_records_a_killed_run_was_removing_ends_without_them(raw, tmp_path):
    whole = write_resized_copies(tmp_path / "whole", parameters(raw), "digest")
    left = tmp_path / "whole" / "training_images" / "shard-00001.done.json"
    left.write_text("{}")
    assert write_resized_copies(tmp_path / "whole", parameters(raw), "digest") == whole
    assert not left.exists()


def test_a_killed_worker_costs_its_shard_alone(raw, tmp_path):
    whole = write_resized_copies(tmp_path / "whole", parameters(raw), "digest")
    process = start(killed, tmp_path / "cut", parameters(raw, workers=2), 3)
    assert finish(process) == 1
    assert write_resized_copies(tmp_path / "cut", parameters(raw, workers=2), "digest") == whole


def test_a_finished_copy_is_kept_unless_damaged_or_of_another_recipe(raw, tmp_path, monkeypatch):
    whole = write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    made = counting(monkeypatch)
    assert write_resized_copies(tmp_path / "out", parameters(raw), "digest") == whole and made == []
    os.unlink(str(tmp_path / "out" / "query_images" / "shard-00000.tar"))
    assert write_resized_copies(tmp_path / "out", parameters(raw), "digest") == whole and len(made) == 2
    other = write_resized_copies(tmp_path / "out", parameters(raw, size=32, images_per_shard=9), "other")
    assert len(made) == 2 + 14
    assert verify_manifest(tmp_path / "out" / "training_images", content=True) == []
    assert other["training_images"] != whole["training_images"]
    assert not (tmp_path / "out" / "training_images" / "shard-00001.tar").exists()


def test_broken_pictures_are_named_and_counted(raw, tmp_path):
    (raw / "training_images" / "T000002.jpg").write_bytes(b"")
    (raw / "training_images" / "T000005.jpg").write_bytes(data(noise().convert("P")))
    with pytest.raises(
        Refusal, match=r"2 of the source pictures .*allowed: 1.* first is T000002.jpg: the file is empty"
    ):
        write_resized_copies(tmp_path / "out", parameters(raw, max_rejected=1), "digest")
    manifests = write_resized_copies(tmp_path / "out", parameters(raw, max_rejected=2), "digest")
    assert manifests["training_images"].count == 5
    rejected = json.loads((tmp_path / "out" / "training_images" / "rejected.json").read_text())
    assert [row["name"] for row in rejected] == ["T000002.jpg", "T000005.jpg"]
    with pytest.raises(Refusal, match="training_images: no T000002.jpg"):
        SamplePictures(tmp_path / "out").require(SampleIds(["T000001", "T000002"]))
    # A stricter run does not take the tolerant one's folder, and takes the picture once it is mended.
    with pytest.raises(Refusal, match="allowed: 0"):
        write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    for name in ("T000002.jpg", "T000005.jpg"):
        (raw / "training_images" / name).write_bytes(data(noise()))
    assert write_resized_copies(tmp_path / "out", parameters(raw), "digest")["training_images"].count == 7


def test_bad_inputs_are_refused_before_the_first_picture(raw, tmp_path, monkeypatch):
    made = counting(monkeypatch)
    with pytest.raises(Refusal, match="nowhere: no such folder"):
        write_resized_copies(
            tmp_path / "out", parameters(raw, reference_images=str(raw / "nowhere")), "digest"
        )
    with pytest.raises(Refusal, match="query_images: Q00000.jpg: expected names like R000000.jpg"):
        write_resized_copies(
            tmp_path / "out", parameters(raw, reference_images=str(raw / "query_images")), "digest"
        )
    (raw / "face_frames" / "F000000.gif").write_bytes(b"")
    with pytest.raises(Refusal, match="face_frames: 1 files, none of them called like F000000.jpg"):
        write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    (raw / "public_ground_truth.csv").write_text("query_id,reference_id\nQ00000,T000000\n")
    with pytest.raises(Refusal, match="public_ground_truth.csv: expected an id like R000000"):
        write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    assert made == [] and not (tmp_path / "out").exists()


def test_a_png_becomes_the_jpg_of_its_id(raw, tmp_path):
    (raw / "training_images" / "T000007.png").write_bytes(data(noise(seed=9)))
    write_resized_copies(tmp_path / "out", parameters(raw), "digest")
    training = ShardSet(tmp_path / "out" / "training_images")
    assert training.names[7] == "T000007.jpg" and training.labels[7] == 7
    assert training.read(7) == square_copy(data(noise(seed=9)), 24)
    (raw / "training_images" / "T000003.png").write_bytes(data(noise()))
    with pytest.raises(Refusal, match="training_images: T000003.jpg: the id stands twice"):
        write_resized_copies(tmp_path / "two", parameters(raw), "digest")
    (raw / "training_images" / "holiday.png").write_bytes(data(noise()))
    with pytest.raises(Refusal, match="training_images: holiday.png: expected names like T000000.jpg"):
        write_resized_copies(tmp_path / "two", parameters(raw), "digest")


TREE = ("val/ILSVRC2012_val_2.JPEG", "test/x_1.JPEG", "train/n2/n2_10.JPEG", "train/n2/n2_9.JPEG")
NUMBERED = [3, 2, 0, 1]
"""Places in TREE of I0000000, I0000001, ... by hand: train (9 before 10), val, test."""


@pytest.mark.parametrize("packed", [False, True])
def test_imagenets_own_folders_are_numbered_on_the_fly(raw, tmp_path, packed):
    for number, path in enumerate(TREE):
        (tmp_path / "kaggle" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "kaggle" / path).write_bytes(data(noise(seed=number), "JPEG"))
    spec = str(tmp_path / "kaggle")
    if packed:
        with tarfile.open(str(tmp_path / "kaggle.tar"), "w") as tar:
            tar.add(spec, "ILSVRC")
        spec = str(tmp_path / "kaggle.tar") + "#ILSVRC"
    write_resized_copies(tmp_path / "out", parameters(raw, imagenet_images=spec), "digest")
    found = ShardSet(tmp_path / "out" / "imagenet_images")
    assert found.names == ["I0000000.jpg", "I0000001.jpg", "I0000002.jpg", "I0000003.jpg"]
    for place, number in enumerate(NUMBERED):
        assert found.read(place) == square_copy(data(noise(seed=number), "JPEG"), 24)
    # The same as the published way: renamed first, then resized.
    rename("imagenet", tmp_path / "kaggle", tmp_path / "renamed", "copy")
    renamed = parameters(raw, imagenet_images=str(tmp_path / "renamed"))
    again = write_resized_copies(tmp_path / "again", renamed, "digest")["imagenet_images"]
    assert again.digest == found.manifest.digest


def test_an_incomplete_tree_is_refused(raw, tmp_path):
    (tmp_path / "kaggle" / "train").mkdir(parents=True)
    wanted = parameters(raw, imagenet_images=str(tmp_path / "kaggle"))
    with pytest.raises(Refusal, match="kaggle: no folder val"):
        write_resized_copies(tmp_path / "out", wanted, "digest")
    for split in ("val", "test"):
        (tmp_path / "kaggle" / split).mkdir()
    with pytest.raises(Refusal, match="no pictures"):
        write_resized_copies(tmp_path / "out", wanted, "digest")
    (tmp_path / "kaggle" / "train" / "n2_9.JPEG").write_bytes(data(noise(), "JPEG"))
    with tarfile.open(str(tmp_path / "kaggle.tar"), "w") as tar:
        tar.add(str(tmp_path / "kaggle"), "")
    with pytest.raises(Refusal, match=r"kaggle.tar: no picture \*.JPEG in val"):
        write_resized_copies(
            tmp_path / "out", parameters(raw, imagenet_images=str(tmp_path / "kaggle.tar")), "digest"
        )


def test_files_of_other_kinds_do_not_count_and_a_folder_may_be_left_out(raw, tmp_path):
    (raw / "query_images" / "notes.txt").write_text("mine")
    wanted = parameters(raw, face_frames=None, reference_images=None, ground_truth=None)
    manifests = write_resized_copies(tmp_path / "out", wanted, "digest")
    assert [manifests[name].count for name in FOLDERS] == [7, 2, 0, 2, 0]
    assert not (tmp_path / "out" / "public_ground_truth.csv").exists()
