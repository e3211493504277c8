"""`encore match`: start the matching stage on two folders and show what it found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from checks.match_page import write_gallery
from checks.size import PROJECT
from encore.runtime.refusal import Refusal

WORKER = "stages.isc_track2.match"
MINI_WEIGHTS = PROJECT / "mini" / "models" / "isc_track2" / "trained.pth.tar"


def match_folders(queries, references, output, top=5, weights=None, scales=()):
    """Match two folders of pictures; returns the path of gallery.html beside the worker's matches.csv.

    `weights` None: the worker's default, the mini weights. `scales`: sides in pixels that pictures are
    resized to; empty: those that belong to the weights (the published ones for weights of one's own).
    Raises Refusal for a folder without pictures, for missing weights, and when the worker refuses or fails
    (its own message is already on stderr).
    """
    for what, folder in (("queries", queries), ("references", references)):
        _require_pictures(what, Path(folder))
    if weights is not None and not Path(weights).is_file():
        raise Refusal(f"{weights}: no such file: --weights takes stripped weights, e.g. trained.pth.tar")
    if weights is not None and MINI_WEIGHTS.is_file() and Path(weights).samefile(MINI_WEIGHTS):
        weights = None
    output = Path(output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    status = subprocess.run(
        worker_command(queries, references, output, top, weights, scales),
        cwd=PROJECT,
        env=worker_environment(),
    ).returncode
    if status:
        raise Refusal(
            f"the matching worker `python -m {WORKER}` ended with status {status}; its message stands above"
        )
    return write_gallery(output, top, mini_weights=weights is None)


def worker_command(queries, references, output, top, weights=None, scales=()):
    """The command line of the worker, with absolute paths."""
    command = [
        sys.executable,
        "-m",
        WORKER,
        str(Path(queries).absolute()),
        str(Path(references).absolute()),
        "--output",
        str(output),
        "--top",
        str(top),
    ]
    command += ["--weights", str(Path(weights).absolute())] if weights is not None else []
    return command + (["--scales", *map(str, scales)] if scales else [])


def worker_environment():
    """The environment of a worker: this one, with the project first on PYTHONPATH."""
    paths = [str(PROJECT / "src"), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _require_pictures(what, folder):
    from PIL import Image

    if not folder.is_dir():
        raise Refusal(f"{folder}: no such folder of {what}")
    with os.scandir(folder) as entries:
        files = sorted(entry.path for entry in entries if entry.is_file() and not entry.name.startswith("."))
    for path in files:
        try:
            with Image.open(path):
                return
        except (OSError, Image.DecompressionBombError):
            continue
    raise Refusal(
        f"{folder}: {f'none of its {len(files)} files is a picture' if files else 'this folder is empty'}: "
        f"the {what} are picture files directly in the folder"
    )
