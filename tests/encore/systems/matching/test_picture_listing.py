import os

import numpy as np
import pytest

from encore.data.images import RejectedImage
from encore.runtime.refusal import Refusal
from encore.systems.matching import picture_listing
from encore.systems.matching.picture_listing import (
    LONGEST_SHARD,
    SHARD,
    Names,
    PictureListing,
    list_pictures,
)


def listing(names, folder="/f"):
    return PictureListing(folder, names, [1] * len(names), [2] * len(names), [True] * len(names))


def test_files_below_the_folder_are_listed_by_the_bytes_of_their_names(tmp_path):
    for name in ("b.jpg", "a/z.jpg", "a/deep/y.jpg", ".hidden/x.jpg", ".DS_Store", "out/shards/1.npz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    with open(os.path.join(os.fsencode(str(tmp_path)), b"caf\xe9.jpg"), "wb"):
        pass
    os.symlink(str(tmp_path), str(tmp_path / "a" / "round"))
    os.symlink(str(tmp_path / "b.jpg"), str(tmp_path / "link.jpg"))
    found = list_pictures(str(tmp_path), "queries", leave_out=str(tmp_path / "out"))
    assert list(found.names) == [b"a/deep/y.jpg", b"a/z.jpg", b"b.jpg", b"caf\xe9.jpg", b"link.jpg"]
    assert found.read(0) == b"a/deep/y.jpg" and found.sizes.tolist() == [12, 7, 5, 0, 5]
    assert found.times[2] == os.stat(str(tmp_path / "b.jpg")).st_mtime_ns


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path):
    with pytest.raises(Refusal, match="none: no such folder of references"):
        list_pictures(str(tmp_path / "none"), "references")
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(Refusal, match="this folder of queries is empty"):
        list_pictures(str(tmp_path), "queries")


def test_a_picture_that_may_not_be_read_is_rejected_and_one_that_is_gone_ends_the_run(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("a")
    found = list_pictures(str(tmp_path), "queries")

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", forbidden)
        with pytest.raises(RejectedImage, match="it cannot be read: permission denied"):
            found.read(0)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(Refusal, match="a.jpg: cannot be read any more"):
        found.read(0)


def test_links_that_lead_to_no_file_are_listed_and_rejected_with_the_reason(tmp_path):
    (tmp_path / "a.png").write_text("a")
    links = {"self": "self.png", "deeper": "a.png/deeper", "gone": "none.png", "to": "a.png"}
    for name, target in links.items():
        os.symlink(target, str(tmp_path / (name + ".png")))
    found = list_pictures(str(tmp_path), "queries")
    assert list(found.names) == [b"a.png", b"deeper.png", b"gone.png", b"self.png", b"to.png"]
    assert found.allowed.tolist() == [True, False, False, False, True] and found.read(4) == b"a"
    for row, reason in ((1, "not a directory"), (2, "no such file"), (3, "symbolic links")):
        with pytest.raises(RejectedImage) as rejected:
            found.read(row)
        assert "it cannot be read: " in rejected.value.reason and reason in rejected.value.reason


@pytest.mark.parametrize("own_folder_closed", [False, True])
def test_a_link_into_a_closed_folder_is_listed_as_not_allowed(tmp_path, monkeypatch, own_folder_closed):
    """By stand-ins for the entries of a folder, for root may read all."""
    (tmp_path / "a.png").write_text("a")
    os.symlink("a.png", str(tmp_path / "link.png"))

    class Entry:
        def __init__(self, entry):
            self.name, self.path = entry.name, entry.path
            self.is_dir, self.is_symlink, self._entry = entry.is_dir, entry.is_symlink, entry

        def is_file(self):
            return self.stat() is not None

        def stat(self, follow_symlinks=True):
            if self.is_symlink() and (follow_symlinks or own_folder_closed):
                raise PermissionError(13, "Permission denied", self.path)
            return self._entry.stat(follow_symlinks=follow_symlinks)

    class Entries(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    scandir = os.scandir
    monkeypatch.setattr(picture_listing.os, "scandir", lambda top: Entries(map(Entry, scandir(top))))
    found = list_pictures(str(tmp_path), "queries")
    assert list(found.names) == [b"a.png", b"link.png"] and found.allowed.tolist() == [True, False]


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")]
)
def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch, error):
    def closed(_):
        raise error

    monkeypatch.setattr(picture_listing.os, "scandir", closed)
    with pytest.raises(Refusal, match="this folder cannot be read: " + error.strerror.lower()):
        list_pictures(str(tmp_path), "queries")


def test_names_are_kept_as_they_are():
    names = Names(iter([b"a", b"", b"\xff\n", b"d"]))
    assert len(names) == 4 and list(names) == [b"a", b"", b"\xff\n", b"d"] and names[2] == b"\xff\n"


def test_shards_cover_all_pictures_once_and_have_a_bound():
    found = listing([b"%06d.jpg" % i for i in range(20000)])
    shards = found.shards()
    assert [row for first, last in shards for row in range(first, last)] == list(range(20000))
    sizes = [last - first for first, last in shards]
    assert max(sizes) <= LONGEST_SHARD and 0.5 * SHARD < np.mean(sizes) < 2 * SHARD
    assert listing([]).shards() == []


def test_another_picture_changes_its_own_shard_only():
    names = [b"%06d.jpg" % i for i in range(20000)]
    before, after = listing(names), listing(names + [b"000500a.jpg"])
    known = {before.address(*shard) for shard in before.shards()}
    new = [shard for shard in after.shards() if after.address(*shard) not in known]
    assert 1 <= len(new) <= 2


def test_addresses_tell_folder_name_size_time_and_permission():
    def address(folder="/f", name=b"a", size=1, time=2, allowed=True):
        return PictureListing(folder, [name], [size], [time], [allowed]).address(0, 1)

    different = [
        address(),
        address(folder="/g"),
        address(name=b"b"),
        address(size=2),
        address(time=3),
        address(allowed=False),
    ]
    assert len(set(different)) == 6 and address() == address()
