import gzip
import hashlib
import itertools
import json

import numpy as np
import pytest
from golden_files import golden
from PIL import Image

from encore.detection.selective_search import neighbours, selective_search, value_bins

PUBLISHED = json.loads(gzip.open(str(golden("isc/proposals.json.gz"))).read().decode())
PHOTOS = ("astronaut", "coffee")


def photo(name):
    return np.asarray(Image.open(str(golden("isc/" + PUBLISHED[name]["photo"]))))


def listed(regions):
    """As the package lists them: [[x, y, width, height], pixels, segments]."""
    return [
        [[x0, y0, x1 - x0, y1 - y0], size, regions.segments(i)]
        for i, ((x0, y0, x1, y1), size) in enumerate(zip(regions.boxes.tolist(), regions.sizes.tolist()))
    ]


@pytest.mark.parametrize("name", PHOTOS)
def test_regions_of_the_photographs_are_the_published_ones_in_their_order(name):
    assert listed(selective_search(photo(name), **PUBLISHED[name]["params"])) == PUBLISHED[name]["regions"]


@pytest.mark.parametrize("name", PHOTOS)
def test_the_segmentation_is_the_published_one_and_counts_in_raster_order(name):
    from skimage.segmentation import felzenszwalb
    from skimage.util import img_as_float

    segments = felzenszwalb(img_as_float(photo(name)), scale=500, sigma=0.9, min_size=10)
    assert int(segments.max()) + 1 == PUBLISHED[name]["segments"]
    digest = hashlib.sha256(segments.astype("<i4").tobytes()).hexdigest()
    assert digest == PUBLISHED[name]["label_map_sha256_int32"]
    first = [int(np.argmax(segments.ravel() == label)) for label in range(segments.max() + 1)]
    assert first == sorted(first)


def blocks(seed, cells=6, side=7):
    """A picture of flat cells in few colours with a little noise, uint8: many equal similarities."""
    random = np.random.RandomState(seed)
    colours = random.randint(0, 4, (cells, cells + 1, 3)) * 85
    image = colours.repeat(side, axis=0).repeat(side, axis=1)
    noise = random.randint(-9, 10, image.shape) * (random.random_sample(image.shape[:2]) < 0.3)[..., None]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def literal(image, scale, sigma, min_size):
    """Selective search word by word from the description: dictionaries, whole sorts, full histograms."""
    from skimage.color import rgb2hsv
    from skimage.feature import local_binary_pattern
    from skimage.segmentation import felzenszwalb
    from skimage.util import img_as_float

    segments = felzenszwalb(img_as_float(image), scale=scale, sigma=sigma, min_size=min_size)
    hsv = rgb2hsv(image.astype(np.float64))
    codes = np.stack([local_binary_pattern(image[:, :, c], 8, 1.0) for c in range(3)], axis=2)
    regions = {}
    for label in range(segments.max() + 1):
        y, x = np.nonzero(segments == label)
        regions[label] = {
            "box": (x.min(), y.min(), x.max(), y.max()),
            "size": len(x),
            "colour": histogram(hsv[y, x], 25, (0.0, 255.0)),
            "texture": histogram(codes[y, x], 10, (0.0, 1.0)),
            "segments": [label],
        }
    similarity = {}
    for i, j in itertools.combinations(sorted(regions), 2):
        if is_neighbour(regions[i]["box"], regions[j]["box"]):
            similarity[i, j] = similar(regions[i], regions[j], segments.size)
    while similarity:
        i, j = sorted(similarity.items(), key=lambda entry: entry[1])[-1][0]
        new, touched = max(regions) + 1, [pair for pair in similarity if i in pair or j in pair]
        regions[new] = union(regions[i], regions[j])
        for pair in touched:
            del similarity[pair]
        for a, b in touched:
            if (a, b) != (i, j):
                other = b if a in (i, j) else a
                similarity[new, other] = similar(regions[new], regions[other], segments.size)
    return [
        [[x0, y0, x1 - x0, y1 - y0], region["size"], region["segments"]]
        for region in regions.values()
        for x0, y0, x1, y1 in [region["box"]]
    ]


def histogram(values, bins, limits):
    counts = [np.histogram(values[:, channel], bins, limits)[0] for channel in range(3)]
    return np.concatenate(counts) / len(values)


def is_neighbour(a, b):
    return any(a[0] < x < a[2] and a[1] < y < a[3] for x in (b[0], b[2]) for y in (b[1], b[3]))


def similar(a, b, pixels):
    colour = sum(min(p, q) for p, q in zip(a["colour"], b["colour"]))
    texture = sum(min(p, q) for p, q in zip(a["texture"], b["texture"]))
    x0, y0, x1, y1 = union_box(a, b)
    size = 1.0 - (a["size"] + b["size"]) / pixels
    return colour + texture + size + (1.0 - ((x1 - x0) * (y1 - y0) - a["size"] - b["size"]) / pixels)


def union_box(a, b):
    corners = list(zip(a["box"], b["box"]))
    return min(corners[0]), min(corners[1]), max(corners[2]), max(corners[3])


def union(a, b):
    size = a["size"] + b["size"]
    return {
        "box": union_box(a, b),
        "size": size,
        "colour": (a["colour"] * a["size"] + b["colour"] * b["size"]) / size,
        "texture": (a["texture"] * a["size"] + b["texture"] * b["size"]) / size,
        "segments": a["segments"] + b["segments"],
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale, min_size", [(500, 10), (20, 3)])
def test_equals_the_literal_description(seed, scale, min_size):
    image = blocks(seed)
    ours = listed(selective_search(image, scale, 0.5, min_size))
    assert ours == literal(image, scale, 0.5, min_size)
    assert seed or len(ours) > 20


@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (30, 7), (41, 52)])
def test_equals_the_package_where_it_is_installed(shape):
    package = pytest.importorskip("selectivesearch")
    image = np.random.RandomState(shape[0]).randint(0, 256, shape + (3,)).astype(np.uint8)
    for picture in (image, image // 128 * 128, blocks(shape[1])):
        _, theirs = package.selective_search(picture, scale=100, sigma=0.9, min_size=10)
        theirs = [[list(region["rect"]), region["size"], region["labels"]] for region in theirs]
        assert listed(selective_search(picture, 100, 0.9, 10)) == theirs


def test_a_flat_picture_is_one_region():
    regions = selective_search(np.full((20, 30, 3), 77, np.uint8))
    assert listed(regions) == [[[0, 0, 29, 19], 600, [0]]]


def test_neighbours_by_a_corner_strictly_inside_in_one_direction():
    outer, touching, crossing, far = (0, 0, 10, 10), (10, 2, 14, 6), (8, 8, 12, 12), (20, 20, 30, 30)
    boxes = np.array([outer, touching, crossing, far])
    assert neighbours(boxes).tolist() == [[0, 2]]
    # The inner box first: none of the outer one's corners lies inside it.
    assert neighbours(np.array([(2, 2, 5, 5), outer])).tolist() == []
    assert neighbours(np.array([outer, (2, 2, 5, 5)])).tolist() == [[0, 1]]
    assert neighbours(boxes[:1]).tolist() == []


def test_value_bins_are_those_of_numpy():
    for value in range(256):
        counts, _ = np.histogram([float(value)], 25, (0.0, 255.0))
        assert value_bins(np.array([value], np.uint8)).tolist() == np.flatnonzero(counts).tolist()


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)]
)
def test_another_kind_of_picture_is_refused(image):
    with pytest.raises(ValueError, match="needs uint8"):
        selective_search(image)
