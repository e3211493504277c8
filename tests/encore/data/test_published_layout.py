import os

import pytest

from encore.data.published_layout import export_folder, import_folder
from encore.data.shards import ShardSet
from encore.runtime.refusal import Refusal


def test_round_trip(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    contents = {"{}_{}.jpg".format(c, j): bytes([c, j]) for c in (0, 2, 10) for j in (0, 1, 10)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    manifest = import_folder(folder, tmp_path / "set", images_per_shard=4)
    assert (manifest.count, manifest.classes, len(manifest.shards)) == (9, 3, 3)
    images = ShardSet(tmp_path / "set")
    assert images.names[:4] == ["0_0.jpg", "0_1.jpg", "0_10.jpg", "2_0.jpg"]
    assert images.labels.tolist() == [0, 0, 0, 2, 2, 2, 10, 10, 10]
    target = tmp_path / "again" / "isc" / "isc"
    (target).mkdir(parents=True)
    (target / "0_0.jpg").write_bytes(b"half written")
    assert export_folder(tmp_path / "set", target) == 9
    assert {name: (target / name).read_bytes() for name in os.listdir(str(target))} == contents
    assert import_folder(target, tmp_path / "second").digest == manifest.digest


@pytest.mark.parametrize("name", ["a_0.jpg", "0_0.png", "0-0.jpg", "00.jpg"])
def test_other_names_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(Refusal, match=name):
        import_folder(tmp_path, tmp_path / "set")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no images there"):
        import_folder(tmp_path, tmp_path / "set")
