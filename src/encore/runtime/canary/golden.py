"""Golden values: one file per key, with what each operation gave where it was recorded."""

from __future__ import annotations

import base64
import glob
import hashlib
import json
import os
import re
import warnings
import zlib

import numpy

from encore.runtime.atomic import write_json
from encore.runtime.canary.flags import FLAGS
from encore.runtime.refusal import Refusal

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
# What the published numbers were computed with.
PUBLISHED_TORCH = "torch-1.7.1_cpu-avx2_" + FLAGS
PUBLISHED_PILLOW = "pillow-8.3.2_libjpeg-9.0"
SAMPLE = 1536  # float32 values kept of a result; the digest is over all of them
PRIME = 1000003


def network_key(device):
    """torch version without its local part, the CPU capability or the GPU's name, and the flags."""
    import torch

    if device == "cuda":
        place = torch.cuda.get_device_name(0)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a CUDA build without a driver says so
            found = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
        place = "cpu-" + (found.group(1) if found and found.group(1) != "NO" else "default")
    return "torch-{}_{}_{}".format(torch.__version__.split("+")[0], _plain(place), FLAGS)


def image_key():
    """Pillow's version and its JPEG library's."""
    import PIL
    from PIL import features

    turbo = features.check_feature("libjpeg_turbo")
    version = features.version_feature("libjpeg_turbo") if turbo else features.version_codec("jpg")
    return "pillow-{}_libjpeg{}-{}".format(PIL.__version__, "-turbo" if turbo else "", version)


def _plain(text):
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def network_reference(key, folder=FOLDER):
    """The key to compare with: itself, else the same torch version on a CPU, else the published version."""
    if recorded(key, folder):
        return key
    version = key.split("_")[0]
    same = sorted(glob.glob(_path(glob.escape(version) + "_cpu-*", folder)))
    return os.path.basename(same[0])[: -len(".json")] if same else PUBLISHED_TORCH


def image_references(key, folder=FOLDER):
    """The keys to compare with: itself where it is recorded, and always the published one."""
    own = [key] if key != PUBLISHED_PILLOW and recorded(key, folder) else []
    return own + [PUBLISHED_PILLOW]


def recorded(key, folder=FOLDER):
    """Whether there are golden values for `key`."""
    return os.path.isfile(_path(key, folder))


def write(key, results, folder=FOLDER):
    """Store the arrays of `results` under `key`; Refusal when it is stored already. Returns the path."""
    path = _path(key, folder)
    if recorded(key, folder):
        raise Refusal("{}: recorded already: remove it to record it again".format(path))
    write_json(path, {"key": key, "results": {name: stored(array) for name, array in results.items()}})
    return path


def read(key, folder=FOLDER):
    """{key, results: {name: {shape, digest, values}}} of a recorded key; Refusal for an unusable file."""
    path = _path(key, folder)
    try:
        with open(path, encoding="utf-8") as file:
            golden = json.load(file)
        if golden["key"] != key:
            raise ValueError("they are of {}".format(golden["key"]))
        for entry in golden["results"].values():
            kind = numpy.dtype(entry["dtype"])
            entry["values"] = numpy.frombuffer(zlib.decompress(base64.b64decode(entry["values"])), dtype=kind)
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise Refusal("{}: no usable golden values ({}): restore the file".format(path, error)) from None
    return golden


def stored(array):
    """The JSON-able form of a result: shape, type, digest of all bytes, and the values of its `sample`."""
    kind = "<f4" if array.dtype == numpy.float32 else "|u1"
    packed = zlib.compress(sample(array).astype(kind).tobytes(), 9)
    return {
        "shape": list(array.shape),
        "dtype": kind,
        "digest": digest(array),
        "values": base64.b64encode(packed).decode("ascii"),
    }


def sample(array):
    """The values that are kept: all bytes, and of float32 arrays up to 1536 values spread over the whole."""
    flat = array.reshape(-1)
    if array.dtype != numpy.float32 or flat.size <= SAMPLE:
        return flat
    return flat[numpy.arange(SAMPLE, dtype=numpy.int64) * PRIME % flat.size]


def digest(array):
    """SHA-256 of the little-endian bytes of an array."""
    kind = array.dtype.newbyteorder("<")
    return hashlib.sha256(numpy.ascontiguousarray(array).astype(kind).tobytes()).hexdigest()


def _path(key, folder):
    return os.path.join(folder, key + ".json")
