import os

import numpy as np
import pytest

from encore.data.images import RejectedImage
from encore.runtime.refusal import Refusal
from encore.systems.matching import kept_descriptors, picture_listing
from encore.systems.matching.kept_descriptors import describe
from encore.systems.matching.picture_listing import list_pictures
from tests.encore.systems.isc.pictures import png

COUNT = 30


class Describer:
    """Descriptors by arithmetic: the mean colour, at unit length; counts the pictures."""

    width = 3

    def __init__(self, address="one", fail_after=None):
        self.address, self.described, self.fail_after = address, 0, fail_after

    def views(self, image):
        return [np.asarray(image.convert("RGB").resize((2, 2)))]

    def descriptors(self, views):
        self.described += len(views)
        if self.fail_after is not None and self.described > self.fail_after:
            raise KeyboardInterrupt
        means = np.array([view[0].reshape(-1, 3).mean(axis=0) + 1 for view in views], dtype=np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """30 pictures, two of which cannot be read, in shards of some 4."""
    monkeypatch.setattr(picture_listing, "SHARD", 4)
    monkeypatch.setattr(picture_listing, "LONGEST_SHARD", 6)
    monkeypatch.setattr(kept_descriptors, "BATCH", 3)
    (tmp_path / "p").mkdir()
    for i in range(COUNT):
        (tmp_path / "p" / "{:02d}.png".format(i)).write_bytes(png(i) if i not in (7, 8) else b"nothing")
    return tmp_path


def described(folder, describer, threads=1):
    return describe(
        list_pictures(str(folder / "p"), "queries"), describer, str(folder / "work"), "queries", threads
    )


def shards(folder):
    return {name: (folder / "work" / name).read_bytes() for name in sorted(os.listdir(str(folder / "work")))}


def test_descriptors_are_read_by_rows_and_the_unreadable_listed(folder):
    kept = described(folder, Describer())
    assert kept.shape == (COUNT - 2, 3) and len(shards(folder)) > 3
    assert kept.places.tolist() == [i for i in range(COUNT) if i not in (7, 8)]
    assert [row for row, _ in kept.rejected] == [7, 8]
    assert all("not a readable picture" in reason for _, reason in kept.rejected)
    whole = kept.read(0, 28)
    from PIL import Image

    for row, place in enumerate(kept.places):
        image = Image.open(str(folder / "p" / "{:02d}.png".format(place)))
        assert np.allclose(whole[row], Describer().descriptors([Describer().views(image)]), atol=1e-6)
    for first in range(28):
        for last in range(first + 1, 29):
            assert np.array_equal(kept.read(first, last), whole[first:last])


def test_a_second_run_makes_nothing_again(folder, capsys):
    described(folder, Describer())
    before, again = shards(folder), Describer()
    kept = described(folder, again)
    assert again.described == 0 and shards(folder) == before and kept.shape == (COUNT - 2, 3)
    assert "30 files, descriptors of 30 kept from before, 0 to make" in capsys.readouterr().err


def test_a_run_that_was_broken_off_goes_on_and_ends_in_the_same_bytes(folder):
    with pytest.raises(KeyboardInterrupt):
        described(folder, Describer(fail_after=12), threads=2)
    assert 0 < len(shards(folder)) < 10
    (folder / "work" / "x.npz.tmp-1").write_text("half a file")
    rest = Describer()
    described(folder, rest)
    broken_off = shards(folder)
    for name in broken_off:
        (folder / "work" / name).unlink()
    described(folder, Describer(), threads=3)
    assert 0 < rest.described < COUNT - 2 and shards(folder) == broken_off


def test_changed_pictures_and_weights_are_described_again(folder):
    described(folder, Describer())
    (folder / "p" / "20.png").write_bytes(png(99))
    changed = Describer()
    kept = described(folder, changed)
    assert 1 <= changed.described <= 6  # its shard
    fresh = described(folder, Describer("two"))
    assert np.array_equal(kept.read(0, 28), fresh.read(0, 28))
    touched = Describer()
    os.utime(str(folder / "p" / "20.png"), ns=(1, 1))
    described(folder, touched)
    assert 1 <= touched.described <= 6
    other = Describer("two")
    described(folder, other)
    assert 1 <= other.described <= 6
    third = Describer("three")
    described(folder, third)
    assert third.described == COUNT - 2


def test_a_damaged_shard_is_made_again_or_refused_by_name(folder):
    described(folder, Describer())
    names = sorted(shards(folder))
    whole = shards(folder)
    (folder / "work" / names[0]).write_bytes(whole[names[0]][:-30])
    (folder / "work" / names[1]).write_bytes(b"")
    kept = described(folder, Describer())
    assert shards(folder) == whole
    data = bytearray(whole[names[2]])
    data[150] ^= 255  # among the numbers: the index is whole
    (folder / "work" / names[2]).write_bytes(bytes(data))
    with pytest.raises(Refusal, match="{}: damaged .*remove it and run".format(names[2])):
        kept.read(0, 28)


def test_a_folder_without_any_picture_has_no_rows(folder):
    for i in range(COUNT):
        (folder / "p" / "{:02d}.png".format(i)).write_bytes(b"")
    kept = described(folder, Describer())
    assert kept.shape == (0, 3) and len(kept.rejected) == COUNT


def test_a_decoder_that_fails_in_an_odd_way_rejects_its_picture_only(folder, monkeypatch):
    decode = kept_descriptors.decode_image

    def odd(data):
        if data == png(3):
            raise IndexError("pop from empty list")
        return decode(data)

    monkeypatch.setattr(kept_descriptors, "decode_image", odd)
    kept = described(folder, Describer(), threads=2)
    assert kept.shape == (COUNT - 3, 3) and kept.rejected[0][0] == 3
    assert "IndexError" in kept.rejected[0][1]


class Failing(Describer):
    """Fails with its picture of 5 x 5 pixels."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def views(self, image):
        if image.size == (5, 5):
            raise self.error
        return super().views(image)


def test_a_picture_that_has_no_view_is_rejected(folder):
    (folder / "p" / "03.png").write_bytes(png(3, (5, 5)))
    kept = described(folder, Failing(RejectedImage("no colours")), threads=2)
    assert kept.shape == (COUNT - 3, 3) and kept.rejected[0] == (3, "no colours")


@pytest.mark.parametrize("error", [ImportError("no module"), AttributeError("no such name"), ValueError("v")])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fault_of_the_program_ends_the_run_and_keeps_nothing(folder, error, threads):
    (folder / "p" / "00.png").write_bytes(png(0, (5, 5)))
    with pytest.raises(type(error), match=str(error)):
        described(folder, Failing(error), threads)
    assert shards(folder) == {}
    mended = Describer()
    assert described(folder, mended).shape == (COUNT - 2, 3) and mended.described == COUNT - 2


def test_a_picture_that_is_gone_ends_the_run_in_one_line(folder):
    listing = list_pictures(str(folder / "p"), "queries")
    (folder / "p" / "15.png").unlink()
    with pytest.raises(Refusal, match="15.png: cannot be read any more"):
        describe(listing, Describer(), str(folder / "work"), "queries", 2)
