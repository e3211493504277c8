"""What a descriptor depends on besides its picture, as one address: kept descriptors of another one are not
used."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys

import encore
from encore.runtime.parameters import recipe_digest

DECIDING = (
    "models",
    "data/images.py",
    "data/augment/resample.py",
    "runtime/numerics.py",
    "search/multi_scale.py",
    "training/checkpoint.py",
    "systems/isc/extraction.py",
    "systems/isc/prepared_pictures.py",
    "systems/matching/describer.py",
    "systems/matching/kept_descriptors.py",
    "systems/matching/weights_files.py",
    "systems/drip/clean_view.py",
    "systems/drip/inference.py",
    "systems/drip/network.py",
    "systems/drip/published_checkpoints.py",
    "systems/drip/view_batches.py",
)
"""Files and folders of `encore` on which the numbers of a descriptor depend."""
LIBRARIES = ("numpy", "torch", "PIL")


def descriptor_address(weights_digest, settings, libraries=()):
    """SHA-256, as hex digits, of weights (their own SHA-256), `settings` (plain values: what the network is
    made of, and how pictures come to it), the code, and Python and the libraries by version.

    It does not depend on what else this process has loaded. `libraries`: modules beside LIBRARIES.
    """
    return recipe_digest(weights_digest, settings, _code(), _versions(LIBRARIES + tuple(libraries)))


def _code():
    root = os.path.dirname(os.path.abspath(encore.__file__))
    found = {}
    for place in DECIDING:
        path = os.path.join(root, place)
        for file in _sources(path) if os.path.isdir(path) else [path]:
            with open(file, "rb") as source:
                found[os.path.relpath(file, root)] = hashlib.sha256(source.read()).hexdigest()
    return found


def _sources(folder):
    return [
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.endswith(".py")
    ]


def _versions(libraries):
    found = {name: str(getattr(importlib.import_module(name), "__version__", "")) for name in libraries}
    return dict(found, python="{}.{}".format(*sys.version_info[:2]))
