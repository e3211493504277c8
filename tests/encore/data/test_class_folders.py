import io
import pickle
import tarfile

import pytest

from encore.data.class_folders import ClassFolders
from encore.data.image_source import open_source
from encore.data.shards import ShardWriter, write_manifest
from encore.detection.torchvision_nms import load_torchvision
from encore.runtime.refusal import Refusal

NAMES = ["a/z.png", "a/below/deeper.PNG", "a-b/10.png", "a-b/2.png", "n02/B.JPEG", "n02/b.JPEG"]
LABELS = [0, 0, 1, 1, 2, 2]


@pytest.fixture
def folder(tmp_path):
    """Class folders whose order as whole names ("a-b/…" before "a/…") is not that of the classes."""
    others = ["a/text.txt", "a/.hidden.png", ".cache/c.png", "a/.cache/c.png", "beside.png"]
    for name in NAMES + others:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(name.encode("ascii"))
    return tmp_path / "set"


def in_tar(tmp_path):
    with tarfile.open(str(tmp_path / "all.tar"), "w") as tar:
        for name in reversed(NAMES + ["flat.png"]):
            member = tarfile.TarInfo("train/" + name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode("ascii")))
    return "%s#train" % (tmp_path / "all.tar")


def in_shards(tmp_path):
    place = tmp_path / "shards"
    place.mkdir()
    writer = ShardWriter(place, 0)
    for name in reversed(NAMES):
        writer.add(name, name.encode("ascii"), 0)
    write_manifest(place, [writer.close()], "0" * 64)
    return place


def test_folder_tar_and_data_set_give_the_same(folder, tmp_path):
    digests = set()
    for spec in (folder, str(folder) + "/", in_tar(tmp_path), in_shards(tmp_path)):
        images = ClassFolders(spec)
        assert images.classes == ("a", "a-b", "n02") and images.labels.tolist() == LABELS
        assert images.labels.dtype == "int64"
        assert images.names == NAMES and len(images) == 6
        assert [images.read(i).decode("ascii") for i in range(6)] == NAMES
        digests.add(images.digest)
        copy = pickle.loads(pickle.dumps(images))
        assert copy.names == NAMES and copy.read(3) == b"a-b/2.png" and copy.digest == images.digest
    assert len(digests) == 1 and len(digests.pop()) == 64


def test_order_is_that_of_torchvision(folder):
    datasets = load_torchvision().datasets
    for hidden in (".cache", "a/.cache", "a/.hidden.png"):  # the one difference: ImageFolder takes them
        path = folder / hidden
        path.unlink() if path.is_file() else [path.joinpath("c.png").unlink(), path.rmdir()]
    published = datasets.ImageFolder(str(folder))
    images = ClassFolders(folder)
    assert [str(folder / name) for name in images.names] == [path for path, _ in published.samples]
    assert images.labels.tolist() == published.targets and list(images.classes) == published.classes


def test_digest_tells_sets_apart(folder):
    before = ClassFolders(folder).digest
    (folder / "a" / "z.png").write_bytes(b"another size")
    resized = ClassFolders(folder).digest
    (folder / "a" / "z.png").rename(folder / "a" / "y.png")
    assert len({before, resized, ClassFolders(folder).digest}) == 3


def test_parts(folder, tmp_path):
    for spec in (folder, in_tar(tmp_path)):
        images = ClassFolders(spec)
        first = images.first_per_class(1)
        assert first.names == [NAMES[0], NAMES[2], NAMES[4]] and first.labels.tolist() == [0, 1, 2]
        part = images.subset([5, 1])
        assert part.names == [NAMES[5], NAMES[1]] and part.labels.tolist() == [2, 0]
        assert part.read(0) == b"n02/b.JPEG" and part.classes == images.classes
        assert part.digest != images.digest
    (folder / "a" / "z.png").unlink()
    with pytest.raises(Refusal, match="class a holds 1 pictures, 2 a class"):
        ClassFolders(folder).first_per_class(2)


def test_refusals(folder, tmp_path):
    with pytest.raises(Refusal, match="no such folder"):
        ClassFolders(tmp_path / "nowhere")
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.png").write_bytes(b"")
    with pytest.raises(Refusal, match="one folder a class"):
        ClassFolders(tmp_path / "flat")
    images = ClassFolders(folder)
    (folder / "n02" / "b.JPEG").unlink()
    with pytest.raises(Refusal, match="n02/b.JPEG: cannot be read"):
        images.read(5)
    (folder / "empty").mkdir()
    with pytest.raises(Refusal, match="the class folder empty holds no picture"):
        ClassFolders(folder)


def test_small_to_pickle(tmp_path):
    """A spawned process gets names and numbers: some 35 bytes a picture, classes and labels included."""
    for number in range(20):
        (tmp_path / ("new%03d" % number)).mkdir()
        for copy in range(50):
            (tmp_path / ("new%03d" % number) / ("class%03d_id%03d.jpg" % (number, copy))).touch()
    assert len(pickle.dumps(ClassFolders(tmp_path))) < 50 * 1000


def test_the_source_for_unlabelled_training_lists_the_same_pictures(folder):
    for name in ("a/below/deeper.PNG", "a/text.txt", "beside.png"):  # what the two take differently
        (folder / name).unlink()
    (folder / "a" / "below").rmdir()
    (folder / ".DS_Store").write_bytes(b"")
    images, source = ClassFolders(folder), open_source(folder, class_folders=True)
    assert images.names == source.names and len(images) == 5
    assert [images.read(i) for i in range(5)] == [source.read(i) for i in range(5)]
