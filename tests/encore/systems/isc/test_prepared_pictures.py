import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from encore.data.images import RejectedImage, decode_image
from encore.systems.isc.prepared_pictures import PictureReader, Portion, Preparation, cuts, joined
from tests.encore.systems.isc.pictures import Pictures, png

SIDE = 8
AT = Preparation(SIDE)


class Grouped:
    """A source that hands out decoded pictures and decodes one for three rows."""

    group = 3

    def __init__(self, count, broken=()):
        self.names = ["R{}_{}.jpg".format(row // 3, row % 3) for row in range(3 * count)]
        self.broken = broken
        self.decoded = []

    def __len__(self):
        return len(self.names)

    def pictures(self, rows):
        last = None
        for row in rows:
            if row // 3 != last:
                last = row // 3
                self.decoded.append(last)
                whole = Image.open(io.BytesIO(png(last)))
            yield row, RejectedImage("torn") if row in self.broken else whole.rotate(90 * (row % 3))


def read(reader, images, rows=None, preparation=AT, batch=4, portion=2):
    """All batches joined: (rows, pictures, rejected), and the rows of each batch, rejected ones too."""
    rows = range(len(images)) if rows is None else rows
    batches = list(reader.batches(images, rows, preparation, batch, portion))
    pictures = [part for _, parts, _ in batches for part in parts]
    return (
        [row for read, _, _ in batches for row in read],
        torch.cat(pictures).numpy() if pictures else None,
        [entry for _, _, rejected in batches for entry in rejected],
        [len(read) + len(rejected) for read, _, rejected in batches],
    )


def test_the_published_order_of_steps():
    image = Image.open(io.BytesIO(png(3, size=(40, 30))))
    rgb = np.asarray(image.convert("RGB"), np.float64)

    def resized(picture):
        return np.asarray(picture.resize((SIDE, SIDE), Image.BICUBIC)).transpose(2, 0, 1)

    # Pillow's L: (19595 R + 38470 G + 7471 B + 32768) >> 16
    def luma(array):
        weighted = (array * [19595, 38470, 7471]).sum(axis=2).astype(np.int64) + 0x8000
        return Image.fromarray(np.repeat((weighted >> 16).astype(np.uint8)[:, :, None], 3, axis=2))

    blurred = image.filter(ImageFilter.GaussianBlur(radius=5))  # before the resize, at 40 x 30
    assert np.array_equal(Preparation(SIDE)(image), resized(image))
    assert np.array_equal(Preparation(SIDE, grey=True)(image), resized(luma(rgb)))
    assert np.array_equal(Preparation(SIDE, blurred=True)(image), resized(blurred))
    both = Preparation(SIDE, blurred=True, grey=True)(image)
    assert np.array_equal(both, resized(luma(np.asarray(blurred, np.float64))))
    assert both.dtype == np.uint8 and both.shape == (3, SIDE, SIDE)
    small_first = resized(image.resize((SIDE, SIDE), Image.BICUBIC).filter(ImageFilter.GaussianBlur(5)))
    assert not np.array_equal(Preparation(SIDE, blurred=True)(image), small_first)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_every_mode_becomes_rgb(mode):
    for flags in ({}, {"blurred": True, "grey": True}):
        assert Preparation(SIDE, **flags)(decode_image(png(0, mode=mode))).shape == (3, SIDE, SIDE)


def test_batches_hold_exactly_the_rows_asked_for():
    images = Pictures({"{}.png".format(number): png(number) for number in range(11)})
    expected = np.stack([AT(decode_image(data)) for data in images.files])
    rows, pictures, rejected, sizes = read(PictureReader(), images, portion=3)
    assert rows == list(range(11)) and np.array_equal(pictures, expected)
    assert rejected == [] and sizes == [4, 4, 3]
    chosen = np.array([7, 2, 10, 0, 5])  # as the choice for the PCA gives them
    rows, pictures, _, sizes = read(PictureReader(), images, chosen)
    assert rows == chosen.tolist() and np.array_equal(pictures, expected[chosen]) and sizes == [4, 1]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("keep_bytes", [0, 10**6])
def test_pictures_that_cannot_be_read_are_named_by_row(workers, keep_bytes):
    files = {"{}.png".format(number): png(number) for number in range(9)}
    files.update({"0.png": b"", "3.png": b"no picture", "4.png": b"", "5.png": png(5)[:50]})
    reader, images = PictureReader(workers, keep_bytes), Pictures(files)
    for _ in range(2):  # the second time from memory
        rows, pictures, rejected, sizes = read(reader, images, batch=3)
        assert rows == [1, 2, 6, 7, 8] and len(pictures) == 5 and sizes == [3, 3, 3]
        assert [row for row, _ in rejected] == [0, 3, 4, 5]
        assert rejected[0][1] == "the file is empty (0 bytes)"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first, portion", [(0, 4), (0, 7), (4, 4), (5, 1)])
def test_sources_in_groups_are_decoded_once_a_group(workers, first, portion):
    images = Grouped(6, broken=(7,))
    rows, pictures, rejected, sizes = read(
        PictureReader(workers), images, range(first, 17), batch=4, portion=portion
    )
    assert rows == [row for row in range(first, 17) if row != 7] and rejected == [(7, "torn")]
    assert sum(sizes) == 17 - first and set(sizes[:-1]) == {4}
    expected = np.stack([AT(image) for row, image in images.pictures(range(18)) if row in rows])
    assert np.array_equal(pictures, expected)
    if not workers:
        assert images.decoded[: 6 - first // 3] == list(
            range(first // 3, 6)
        )  # none twice, whatever the batches


@pytest.mark.parametrize(
    "rows, portion, group, expected",
    [
        (range(10), 4, 1, [0, 4, 8, 10]),
        (range(8), 4, 1, [0, 4, 8]),
        (range(0, 100), 50, 19, [0, 38, 76, 100]),  # 2 references of 19 parts
        (range(50, 100), 50, 19, [0, 26, 50]),  # row 50 is part 12 of reference 2, row 76 begins reference 4
        (range(3), 50, 19, [0, 3]),
        (range(40), 5, 19, [0, 19, 38, 40]),  # a group at least
        (range(0), 4, 1, [0, 0]),
    ],
)
def test_portions_begin_between_groups(rows, portion, group, expected):
    assert cuts(rows, portion, group) == expected


def test_portions_are_joined_across_batches():
    def portion(*rows):
        reasons = ["torn" if row % 2 else None for row in rows]
        return Portion(list(rows), torch.tensor([row for row in rows if not row % 2]), reasons)

    batches = list(joined([portion(0, 1, 2, 3, 4), portion(), portion(5), portion(6, 7)], 3))
    assert [[row for part in batch for row in part.rows] for batch in batches] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7],
    ]
    assert [[value for part in batch for value in part.pictures.tolist()] for batch in batches] == [
        [0, 2],
        [4],
        [6],
    ]
    for batch in batches:
        for part in batch:
            assert len(part.pictures) == sum(reason is None for reason in part.reasons)


def test_pictures_are_kept_as_long_as_they_fit():
    images = Pictures({"{}.png".format(number): png(number) for number in range(5)})
    one = 5 * 3 * SIDE * SIDE
    reader = PictureReader(keep_bytes=2 * one)
    fresh = {flag: read(PictureReader(), images, preparation=Preparation(SIDE, grey=flag)) for flag in (0, 1)}
    images.reads = 0
    for _ in range(3):
        for flag in (0, 1):
            found = read(reader, images, preparation=Preparation(SIDE, grey=flag))
            assert found[0] == fresh[flag][0] and np.array_equal(found[1], fresh[flag][1])
    assert images.reads == 10  # once for each preparation
    read(reader, images, [3, 1])
    assert images.reads == 10
    read(reader, images, preparation=Preparation(SIDE, blurred=True))  # no room for these
    read(reader, images, preparation=Preparation(SIDE, blurred=True))
    assert images.reads == 20


def test_a_source_that_hands_out_other_rows_stops_the_work():
    class Short(Grouped):
        def pictures(self, rows):
            return iter(list(Grouped.pictures(self, rows))[:-1])

    class Shuffled(Grouped):
        def pictures(self, rows):
            return Grouped.pictures(self, rows[::-1])

    with pytest.raises(ValueError, match="expected 3 pictures of the source, found 2"):
        read(PictureReader(), Short(1))
    with pytest.raises(ValueError, match="the picture of row 0, found that of row 2"):
        read(PictureReader(), Shuffled(1))
