"""What the published code made of descriptors: the sections of eval.json, the arrays of eval.npz, and the
descriptors that went into its PCA, by formula."""

from __future__ import annotations

import functools
import json
import zlib

import numpy as np

from tests.golden_files import golden


@functools.lru_cache(maxsize=None)
def sections():
    return json.loads(golden("drip/eval.json").read_text())


@functools.lru_cache(maxsize=None)
def arrays():
    with np.load(str(golden("drip/eval.npz"))) as stored:
        return {name: stored[name] for name in stored.files}


def pca_blocks(tag, count):
    """The descriptors of three models, each float32 (count, d), L2-normalised: `tag` is ref, qry or trn."""
    blocks = []
    for number, width in enumerate(sections()["pca"]["dims"]):
        random = np.random.RandomState(zlib.crc32("{}.{}".format(tag, number).encode("ascii")))
        block = random.standard_normal((count, width)) * np.exp(-np.arange(width) / 40) + 0.1
        blocks.append((block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float32))
    return blocks
