"""The classes of Track 2's training set against the published script's whole run, and sources that cannot
be used.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image, features

from encore.data.augment.draws import Draws
from encore.data.augment.isc_chain import PUBLISHED, IscChain
from encore.data.images import RejectedImage
from encore.systems.isc.generation import augment_once, copy_draws, generate_class, jpeg
from tests.encore.data.augment import published_runs as runs

PUBLISHED_LIBRARIES = PIL.__version__ == "8.3.2" and features.check("raqm")
ADDRESS = (3, "isc_track2")
WHOLE_RUNS = runs.read("whole_run.json")["datasets"]


def chain(name="isc_100k_256", font=None):
    foreign = runs.recorded_foreign()
    return IscChain(PUBLISHED[name], runs.assets(font=font), lambda index: foreign[index % 8])


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def source(name=runs.INPUTS[0]):
    with open(str(runs.golden("isc_generate/inputs/" + name)), "rb") as file:
        return file.read()


def replay_whole_run(chain):
    """{file name: picture handed to the JPEG writer}: the published loop, one pair of streams for the whole
    run.
    """
    draws = Draws(1)
    pictures = {}
    for class_id, name in enumerate(runs.INPUTS):
        image = runs.picture("inputs/" + name)
        pictures["{}_0.jpg".format(class_id)] = chain.first_copy(image, draws)
        for copy in range(1, 20):
            pictures["{}_{}.jpg".format(class_id, copy)] = chain(image, draws)
    return pictures, draws


def assert_whole_run(run, chain, jpeg_too):
    pictures, draws = replay_whole_run(chain)
    assert sorted(pictures) == sorted(run["files"])
    for name, (mode, pixels, file) in run["files"].items():
        assert (pictures[name].mode, runs.sha256(pictures[name])) == (mode, pixels), name
        if jpeg_too:
            written = jpeg(pictures[name], run["save_options"]["quality"])
            assert hashlib.sha256(written).hexdigest() == file, name
    assert draws.random() == run["next_draw_after"]["random"]
    assert draws.rand() == run["next_draw_after"]["torch"]


def test_the_published_scripts_whole_run():
    run = WHOLE_RUNS[0]
    assert run["dataset"] == "isc_100k_256"
    assert_whole_run(run, chain(font=runs.RecordedFont), PUBLISHED_LIBRARIES)


@pytest.mark.skipif(
    not (PUBLISHED_LIBRARIES and os.environ.get("ENCORE_ALL_SEEDS")), reason="needs ENCORE_ALL_SEEDS"
)
@pytest.mark.parametrize("run", WHOLE_RUNS, ids=lambda run: run["dataset"])
def test_whole_runs_of_all_data_sets_with_local_libraries(run):
    foreign = runs.local_foreign()
    local = IscChain(PUBLISHED[run["dataset"]], runs.assets("raqm"), lambda index: foreign[index % 8])
    assert_whole_run(run, local, jpeg_too=True)


def test_names_copy_zero_and_independent_copies():
    made = generate_class(source(), 17, 4, chain(), ADDRESS, size=256, quality=100)
    assert [name for name, _ in made] == ["17_0.jpg", "17_1.jpg", "17_2.jpg", "17_3.jpg"]
    assert made[0][1] == jpeg(runs.picture("inputs/" + runs.INPUTS[0]).resize((256, 256)), 100)
    # Copy 3 alone, from its own address: no other copy had to be made before it.
    alone = augment_once(runs.picture("inputs/" + runs.INPUTS[0]), chain(), copy_draws(ADDRESS, 17, 3), 100)
    assert alone == made[3][1]
    assert generate_class(source(), 17, 4, chain(), ADDRESS, 256, 100) == made
    assert len({data for _, data in made}) == 4
    assert generate_class(source(), 18, 2, chain(), ADDRESS, 256, 100)[1][1] != made[1][1]


def test_files_are_4_2_0_baseline_jpeg_of_the_given_quality():
    _, data = generate_class(source(), 0, 1, chain(), ADDRESS, 256, 100)[0]
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG" and image.size == (256, 256)
    assert [component[1:3] for component in image.layer] == [(2, 2), (1, 1), (1, 1)]
    assert max(image.quantization[0]) == 1
    assert not image.info.get("progressive")
    # The published scripts that ask for quality 1000 write the same bytes as with 100.
    assert generate_class(source(), 0, 1, chain(), ADDRESS, 256, 1000)[0][1] == data


def test_the_sources_metadata_does_not_reach_the_files():
    bare = encoded(Image.new("RGB", (300, 300), (9, 80, 200)), "JPEG")
    comment = b"a comment"
    noted = bare[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + bare[2:]
    assert Image.open(io.BytesIO(noted)).app.get("COM") == comment
    assert generate_class(noted, 0, 2, chain(), ADDRESS, 256, 100) == generate_class(
        bare, 0, 2, chain(), ADDRESS, 256, 100
    )


@pytest.mark.parametrize("mode", ["L", "CMYK", "1"])
def test_copy_zero_keeps_a_mode_that_jpeg_can_hold(mode):
    data = encoded(Image.new("RGB", (40, 30), (200, 10, 60)).convert(mode), "TIFF")
    files = generate_class(data, 0, 3, chain(), ADDRESS, 256, 100)
    modes = [Image.open(io.BytesIO(file)).mode for _, file in files]
    assert modes == ["L" if mode == "1" else mode, "RGB", "RGB"]


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "I;16"])
def test_a_mode_that_jpeg_cannot_hold_is_rejected_as_the_published_run_stops_there(mode):
    image = Image.new(mode, (40, 30)) if mode == "I;16" else Image.new("RGB", (40, 30)).convert(mode)
    with pytest.raises(OSError):
        image.save(io.BytesIO(), "JPEG")
    with pytest.raises(RejectedImage) as rejection:
        generate_class(encoded(image), 0, 2, chain(), ADDRESS, 256, 100)
    # Pillow 8.3.2 opens a 16-bit grey PNG as mode I, later ones as I;16.
    assert "mode " + mode.split(";")[0] in rejection.value.reason
    assert "published run stops here" in rejection.value.reason


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_a_grey_recipe_converts_first_and_takes_them(mode):
    data = encoded(Image.new("RGB", (40, 30), (200, 10, 60)).convert(mode))
    files = generate_class(data, 0, 2, chain("isc_100k_256_big_bw"), ADDRESS, 256, 100)
    first = np.array(Image.open(io.BytesIO(files[0][1])))
    assert first.shape == (256, 256, 3) and np.ptp(first, axis=2).max() == 0


def bomb():
    """A PNG of 30000 x 30000 white pixels, built without holding them."""
    packer, rows = zlib.compressobj(9), b"\x00" + b"\xff" * 3750
    data = b"".join(packer.compress(rows) for _ in range(30000)) + packer.flush()

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + struct.pack(">I", zlib.crc32(kind + body) & 0xFFFFFFFF)
        )

    header = struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", source()[:5000], bomb()], ids=["zero bytes", "text", "truncated", "bomb"]
)
def test_broken_and_hostile_sources_are_rejected(data):
    with pytest.raises(RejectedImage):
        generate_class(data, 0, 2, chain(), ADDRESS, 256, 100)


def test_a_source_of_one_pixel():
    files = generate_class(encoded(Image.new("RGB", (1, 1), (7, 99, 200))), 0, 6, chain(), ADDRESS, 256, 100)
    assert all(Image.open(io.BytesIO(file)).size == (256, 256) for _, file in files)


def test_a_size_that_is_not_the_recipes_is_an_error():
    with pytest.raises(ValueError, match="128"):
        generate_class(source(), 0, 2, chain(), ADDRESS, 128, 100)
    with pytest.raises(ValueError, match="copies"):
        generate_class(source(), 0, 0, chain(), ADDRESS, 256, 100)
