"""Imports run down: stages, systems, then training, search, detection, then models … data, then runtime."""

from __future__ import annotations

import ast

import pytest

from checks.imports import imported_modules, module_name
from checks.size import PROJECT

LAYERS = {
    "encore.runtime": 0,
    "encore.data": 1,
    "encore.detection": 2,
    "encore.losses": 1,
    "encore.metrics": 1,
    "encore.models": 1,
    "encore.search": 2,
    "encore.training": 2,
    "encore.systems": 3,
    "stages": 4,
}
CHECKS_MAY_IMPORT = (
    "encore.metrics",
    "encore.data.faiss_transform",
    "encore.data.manifest",
    "encore.data.shards",
    "encore.data.image_source",
    "encore.data.images",
    "encore.data.tar_members",
    "encore.runtime.refusal",
    "encore.runtime.atomic",
    "encore.runtime.bounded_file",
    "encore.runtime.json_file",
    "encore.runtime.yaml_limits",
    "encore.runtime.outside_fault",
)
WORKER_ONLY = ("torch", "torchvision", "h5py")
LOOKS_INTO_HDF5 = "checks.planted"


def layer(module):
    """The layer of a dotted first-party worker module, or None."""
    return next(
        (rank for name, rank in LAYERS.items() if module == name or module.startswith(name + ".")), None
    )


def within(module, names):
    return any(module == name or module.startswith(name + ".") for name in names)


def wrong_arrows(module, source, is_package=False):
    """The imports of one file that run upwards, into `checks`, or out of what `checks` may use."""
    found = imported_modules(source, module, is_package)
    if module == LOOKS_INTO_HDF5:
        found = set(found) - {"h5py"}
    if module.split(".")[0] == "checks":
        # `from encore.metrics.x import y` also yields encore.metrics.x.y, which is allowed too.
        return sorted(
            name
            for name in found
            if within(name, WORKER_ONLY)
            or within(name, ["stages"])
            or (within(name, ["encore"]) and not within(name, CHECKS_MAY_IMPORT))
        )
    own = layer(module)
    return sorted(
        name
        for name in found
        if within(name, ["checks"]) or (own is not None and layer(name) is not None and layer(name) > own)
    )


def files(*rooms):
    return sorted(
        path for room in rooms for path in (PROJECT / room).rglob("*.py") if "__pycache__" not in path.parts
    )


@pytest.mark.parametrize(
    "path", files("src/encore", "stages", "checks"), ids=lambda path: str(path.relative_to(PROJECT))
)
def test_no_file_imports_upwards(path):
    module = module_name(PROJECT, path)
    assert wrong_arrows(module, path.read_text(encoding="utf-8"), path.name == "__init__.py") == []


@pytest.mark.parametrize(
    "path", files("src/encore", "stages"), ids=lambda path: str(path.relative_to(PROJECT))
)
def test_worker_files_parse_as_python_3_7(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_every_room_has_a_layer():
    rooms = {path.parent.name for path in (PROJECT / "src/encore").glob("*/__init__.py")}
    assert {f"encore.{room}" for room in rooms} <= set(LAYERS)


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("encore.runtime.seeds", "from encore.data import shards", ["encore.data", "encore.data.shards"]),
        ("encore.data.x", "def f():\n    import encore.systems.isc_track2", ["encore.systems.isc_track2"]),
        (
            "encore.losses.x",
            "from ..training.loop import run",
            ["encore.training.loop", "encore.training.loop.run"],
        ),
        ("encore.training.x", "import stages.isc_track2.train", ["stages.isc_track2.train"]),
        ("stages.isc_track2.x", "import checks.data", ["checks.data"]),
        ("checks.x", "import torch", ["torch"]),
        ("checks.x", "from encore.training import loop", ["encore.training", "encore.training.loop"]),
        (
            "checks.x",
            "from encore.data.augment import draws",
            ["encore.data.augment", "encore.data.augment.draws"],
        ),
        ("checks.x", "import stages.isc_track2.train", ["stages.isc_track2.train"]),
        ("encore.search.x", "from encore.training import loop\nfrom encore.models import gem", []),
        ("checks.x", "from encore.metrics.micro_ap import f\nfrom encore.runtime.refusal import Refusal", []),
    ],
)
def test_wrong_arrows_are_found(module, source, wrong):
    assert wrong_arrows(module, source) == wrong


@pytest.mark.parametrize("source", ["if (n := 1): pass", "def f(a, /): pass", "match x:\n    case 1: pass"])
def test_later_syntax_is_found(source):
    with pytest.raises(SyntaxError):
        ast.parse(source, feature_version=(3, 7))
