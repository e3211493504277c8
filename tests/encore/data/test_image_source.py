import io
import os
import tarfile

import pytest

from encore.data.image_source import open_source
from encore.detection.torchvision_nms import load_torchvision
from encore.runtime.refusal import Refusal


def test_folder_and_tar_give_the_same(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    with tarfile.open(str(tmp_path / "all.tar"), "w") as tar:
        for name, data in (("b.png", b"bb"), ("a.png", b"a"), ("B.png", b"")):
            (folder / name).write_bytes(data)
            member = tarfile.TarInfo("some/" + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        tar.addfile(tarfile.TarInfo("somewhere/c.png"), io.BytesIO())
    (folder / "below").mkdir()
    (folder / ".DS_Store").write_bytes(b"hidden files do not count")
    for spec in (str(folder), str(tmp_path / "all.tar") + "#some"):
        source = open_source(spec)
        assert source.names == ["B.png", "a.png", "b.png"]
        assert [source.read(i) for i in range(len(source))] == [b"", b"a", b"bb"]


def test_nothing_there(tmp_path):
    with pytest.raises(Refusal, match="no such folder of pictures"):
        open_source(str(tmp_path / "none"))
    (tmp_path / "text").write_text("no tar")
    with pytest.raises(Refusal, match="no such folder of pictures"):
        open_source(str(tmp_path / "text"))


@pytest.fixture
def classes(tmp_path):
    """Class folders whose order as whole names ("a-b/…" before "a/…") is not that of the classes."""
    for name in ("n02/b.JPEG", "n02/B.JPEG", "a-b/2.png", "a-b/10.png", "a/z.png", "a/below/deeper.png"):
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).write_bytes(name.encode("ascii"))
    (tmp_path / "train" / "a" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / ".cache" / "c.png").write_bytes(b"")
    (tmp_path / "train" / ".DS_Store").write_bytes(b"")
    (tmp_path / "train" / "empty").mkdir()
    return tmp_path / "train"


def test_class_folders_in_the_order_of_torchvision(classes):
    source = open_source(classes, class_folders=True)
    assert source.names == ["a/z.png", "a-b/10.png", "a-b/2.png", "n02/B.JPEG", "n02/b.JPEG"]
    assert [source.read(i).decode("ascii") for i in range(len(source))] == source.names
    assert open_source(classes / "n02", class_folders=True).names == ["B.JPEG", "b.JPEG"]


def test_class_folders_are_torchvision_s(classes):
    datasets = load_torchvision().datasets
    for hidden in (".cache/c.png", "a/.hidden.png", "a/below/deeper.png"):
        os.unlink(str(classes / hidden))
    os.rmdir(str(classes / ".cache"))
    os.rmdir(str(classes / "empty"))
    found = [os.path.relpath(path, str(classes)) for path, _ in datasets.ImageFolder(str(classes)).samples]
    assert open_source(classes, class_folders=True).names == found


def test_class_folders_beside_a_picture_do_not_count(classes):
    (classes / "one.png").write_bytes(b"1")
    for asked in (True, False):
        assert open_source(classes, class_folders=asked).names == ["one.png"]


def test_class_folders_are_refused_where_names_are_ids(classes, tmp_path):
    with pytest.raises(Refusal, match="train: expected pictures, found folders only: name one of them"):
        open_source(classes)
    (tmp_path / "nothing" / ".hidden").mkdir(parents=True)
    assert len(open_source(tmp_path / "nothing")) == 0
