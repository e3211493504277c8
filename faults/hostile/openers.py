"""The modules that open a file of a form which others can make hostile, found by what their code calls."""

from __future__ import annotations

import ast
from pathlib import Path

CALLS = {
    "torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "tarfile.open", "zipfile.ZipFile",
    "h5py.File", "np.load", "numpy.load", "np.fromfile", "numpy.fromfile", "np.genfromtxt", "np.loadtxt",
    "yaml.load", "yaml.safe_load", "yaml.parse", "json.load", "json.loads", "csv.reader", "csv.DictReader",
    "Image.open", "lmdb.open", "onnxruntime.InferenceSession", "onnx.load", "ast.parse", "mmap.mmap",
    "pickletools.genops", "ElementTree.parse", "tomllib.load",
}  # fmt: skip
"""Functions that parse such a file. Who calls those of ours that do so within bounds (safe_load,
decode_image, read_json_file, read_yaml, ...) parses nothing itself."""
PARTS = "a part of the readers above, which they are tried with"
RUN = "written by a stage of the same run, in its own working folder"
SHIPPED = "a file of this project"
CLUSTER = "between processes of one run, on a cluster that can run code anyway"
BOUNDED = "a table of a finished run, its lines bounded by `bounded_lines`"
PRINTED = "what a program that this project starts has printed"
STORED = "the list of what an image holds, which `make images` writes"
CHECKED = "pictures that `screenshot_templates` has checked, or that the project ships"
WRITES = "it writes such files, or reads what it has just written"
OWN = {
    PARTS: """
        src/encore/runtime/json_file.py src/encore/runtime/torch_file_check.py
        src/encore/runtime/yaml_limits.py src/encore/systems/drip/stage_values.py
    """,
    RUN: """
        src/encore/data/shard_writing.py src/encore/runtime/stage.py src/encore/search/spread_search.py
        src/encore/systems/drip/extraction.py src/encore/systems/drip/held_out_queries.py
        src/encore/systems/drip/record.py src/encore/systems/drip/renaming.py
        src/encore/systems/drip/resized_copies.py src/encore/systems/fkd/recover/recovery.py
        src/encore/systems/fkd/recover/snapshots.py src/encore/systems/fkd/relabel.py
        src/encore/systems/fkd/tracking.py src/encore/systems/isc_track1/augmented_queries.py
        src/encore/systems/isc_track1/faces.py src/encore/systems/isc_track1/normalised_search.py
        src/encore/systems/matching/kept_descriptors.py src/encore/systems/reid/record.py
        src/encore/systems/reid/run_folder.py src/encore/systems/reid/training_pictures.py
        src/encore/training/curves.py src/encore/training/journal.py stages/drip/compare.py
        stages/fkd/compare.py stages/isc_track1/fuse.py stages/isc_track2/compare.py stages/reid/compare.py
    """,
    SHIPPED: """
        src/encore/data/augment/assets.py src/encore/data/augment/drip_assets.py
        src/encore/runtime/canary/golden.py src/encore/runtime/canary/images.py checks/environment.py
        checks/calibrate.py checks/imports.py checks/report/photographs.py checks/forecast/against.py
        checks/forecast/curves.py checks/forecast/rates.py checks/report/reliability.py
    """,
    CLUSTER: "src/encore/runtime/cluster_map.py src/encore/runtime/cluster_worker.py",
    CHECKED: "src/encore/data/augment/screenshot.py src/encore/data/augment/drip_chain.py",
    WRITES: "checks/provenance/crate.py checks/planted.py",
    BOUNDED: """
        checks/report/drip_stages.py checks/report/ingredients.py checks/report/ladder.py
        checks/report/person_rankings.py
    """,
    PRINTED: """
        checks/audit.py checks/commands/environment.py checks/doctor_machine.py checks/status.py
    """,
    STORED: "checks/provenance/environments.py",
}
"""Why a module that parses such files is not tried -> those modules."""
ROOMS = ("src/encore", "stages", "checks")


def opening_modules(root):
    """{file from `root`: sorted names that it calls} of all modules of ROOMS that call one of CALLS."""
    found = {}
    for room in ROOMS:
        for path in sorted((Path(root) / room).rglob("*.py")):
            called = sorted({_name(node) for node in ast.walk(ast.parse(path.read_text()))} & CALLS)
            if called:
                found[path.relative_to(root).as_posix()] = called
    return found


def _name(node):
    """`a.b` or `b` of a call; None of anything else."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return f"{node.func.value.id}.{node.func.attr}"
    return getattr(node.func, "id", None)
