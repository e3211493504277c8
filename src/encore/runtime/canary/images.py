"""The image part: JPEG decode, resize and JPEG encode of two photographs under the Pillow that is there."""

from __future__ import annotations

import hashlib
import io
import os

from encore.runtime.refusal import Refusal

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "photographs")
DIGESTS = {
    "astronaut.jpg": "b6f7953744addbe08ca9ee6e59476888bde0f558e62137628a1167ec4042a39d",
    "astronaut.png": "08aaeebc66721560cc7b1f5d862c9dc8c6ccb8caa528263bfc2133b1265f0203",
    "coffee.jpg": "bf15ede17ddde0708a623656f0a0c74c82d0ce5506765fe9e9c78b39f41b5b07",
    "coffee.png": "0965c014584f6cdf982c07eed35460e92ab9570701a099e46048c3124c8260ef",
}
PHOTOGRAPHS = ("astronaut", "coffee")
FILTERS = ("bilinear", "bicubic", "lanczos")
RESIZED = (40, 32)  # from 96 x 96: reduced, by a different factor each way
DECODE, ENCODE = "JPEG decode", "JPEG encode"


def images(folder=FOLDER):
    """{name: uint8 array}: decoded pixels, resized pixels, encoded bytes; both photographs in one array.

    The encoded files lie one after the other. Raises Refusal when a photograph is not the recorded one.
    """
    import numpy
    from PIL import Image

    results = {DECODE: numpy.stack([_pixels(_read(folder, name + ".jpg")) for name in PHOTOGRAPHS])}
    sources = [Image.open(io.BytesIO(_read(folder, name + ".png"))) for name in PHOTOGRAPHS]
    for name in FILTERS:
        kind = getattr(Image, name.upper())
        results["resize " + name] = numpy.stack(
            [numpy.asarray(source.resize(RESIZED, kind)) for source in sources]
        )
    encoded = b"".join(_encode(source) for source in sources)
    results[ENCODE] = numpy.frombuffer(encoded, dtype=numpy.uint8)
    return results


def decoded(encoded):
    """The pixels of a "JPEG encode" array, decoded here: uint8 [photographs, height, width, 3]."""
    import numpy

    start = b"\xff\xd8\xff"
    parts = encoded.tobytes().split(start)[1:]
    return numpy.stack([_pixels(start + part) for part in parts])


def _read(folder, name):
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise Refusal(
            "{}: this photograph of the canary is missing: restore it from the project".format(path)
        )
    with open(path, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
        raise Refusal("{}: not the photograph of the canary: restore it from the project".format(path))
    return content


def _pixels(content):
    import numpy
    from PIL import Image

    return numpy.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _encode(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75, subsampling="4:2:0")
    return file.getvalue()
