"""Gallery and query in their layouts."""

import pickle

import pytest
from reid_pictures import tar_of, write

from encore.runtime.refusal import Refusal
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures

NAMES = ["-1_c3s1_1.jpg", "0000_c4s2_2.jpg", "0002_c1s1_3.jpg", "0002_c2s1_4.jpg"]


def published(folder):
    """gallery/<pid>/*, written in another order than read."""
    gallery = ["gallery/%s/%s" % (name.split("_")[0], name) for name in reversed(NAMES)]
    write(folder, gallery + ["query/0002/0002_c3s1_5.jpg", "gallery/loose.jpg", "gallery/0002/.DS_Store"])


def archive(folder):
    gallery = ["bounding_box_test/" + name for name in NAMES]
    write(folder, gallery + ["query/0002_c3s1_5.jpg", "bounding_box_test/Thumbs.db", "query/Thumbs.db"])


@pytest.mark.parametrize("layout", [published, archive])
def test_splits_of_folder_and_tar(tmp_path, layout):
    layout(tmp_path / "set")
    for spec in (tmp_path / "set", tar_of(tmp_path / "set", "Market/pytorch"), tar_of(tmp_path / "set", ".")):
        found = open_evaluation_pictures(spec)
        gallery, query, multi_query = found
        assert [name.rpartition("/")[2] for name in gallery.names] == NAMES and len(gallery) == 4
        assert gallery.labels.tolist() == [-1, 0, 2, 2] and gallery.cameras.tolist() == [3, 4, 1, 2]
        assert gallery.labels.dtype == gallery.cameras.dtype == "int64"
        assert (query.labels.tolist(), query.cameras.tolist()) == ([2], [3]) and multi_query is None
        assert query.read(0)[:4] == b"\x89PNG"
        assert pickle.loads(pickle.dumps(gallery)).read(3) == gallery.read(3)


@pytest.mark.parametrize("layout, further", [(published, "multi-query/0002/"), (archive, "gt_bbox/")])
def test_multi_query(tmp_path, layout, further):
    layout(tmp_path)
    names = ["0002_c1s1_9.jpg", "0002_c3s1_8.jpg"]
    write(tmp_path, [further + name for name in names])
    found = open_evaluation_pictures(tmp_path).multi_query
    assert found.labels.tolist() == [2, 2] and found.cameras.tolist() == [1, 3]
    (tmp_path / (further + names[0])).rename(tmp_path / (further + names[0] + ".any"))
    count = 2 if layout is published else 1  # the published code takes every ending
    assert len(open_evaluation_pictures(tmp_path).multi_query) == count


def test_flat_splits_of_another_naming(tmp_path):
    write(tmp_path, ["gallery/1040_012_15_0302noon_0512_2.jpg", "query/0003_004_07_0303afternoon_0001_1.jpg"])
    gallery, query, _ = open_evaluation_pictures(tmp_path, "msmt")
    assert (gallery.labels[0], gallery.cameras[0], query.labels[0], query.cameras[0]) == (1040, 15, 3, 7)


def test_order_is_by_folder_then_name(tmp_path):
    names = ["gallery/0002/0009_c1s1_1.jpg", "gallery/0010/0001_c1s1_1.jpg"]
    write(tmp_path, names + ["query/a/0001_c2s1_1.jpg"])
    assert open_evaluation_pictures(tmp_path).gallery.labels.tolist() == [9, 1]


def test_refusals(tmp_path):
    def refused(match):
        with pytest.raises(Refusal, match=match) as caught:
            open_evaluation_pictures(tmp_path)
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)

    with pytest.raises(Refusal, match="evaluation_root"):
        open_evaluation_pictures("")
    refused("expected one of the folders gallery and bounding_box_test, found neither")
    (tmp_path / "gallery").mkdir()
    refused("expected the folder query")
    (tmp_path / "query" / "0002").mkdir(parents=True)
    refused("gallery: expected pictures, found none: the split is empty")
    write(tmp_path, ["gallery/0002/0002_c1s1_1.jpg"])
    refused("query: expected pictures, found none")
    write(tmp_path, ["query/0002/Thumbs.db"])
    refused("query: 0002/Thumbs.db: expected a name like")
    (tmp_path / "query" / "0002" / "Thumbs.db").rename(tmp_path / "query" / "0002" / "0002_c2s1_1.jpg")
    (tmp_path / "bounding_box_test").mkdir()
    refused("found both")


def test_a_picture_of_zero_bytes_is_named_when_read(tmp_path):
    published(tmp_path)
    (tmp_path / "gallery" / "0002" / NAMES[2]).write_bytes(b"")
    gallery = open_evaluation_pictures(tmp_path).gallery
    assert gallery.read(3)
    with pytest.raises(Refusal, match=r"gallery: 0002/0002_c1s1_3.jpg: the picture is empty \(0 bytes\)"):
        gallery.read(2)
