"""`encore match`: start the matching stage on two folders and show what it found."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from checks.match_page import read_match, write_gallery
from checks.size import PROJECT
from encore.data.images import RejectedImage, open_image
from encore.runtime.refusal import Refusal

WORKER = "stages.isc_track2.match"
MINI_WEIGHTS = PROJECT / "mini" / "models" / "isc_track2" / "trained.pth.tar"
TRIED = 1000
"""Files of a folder that are opened, before the worker starts, in search of a first picture."""
REFUSED, INTERRUPTED = 2, 130


@dataclass(frozen=True)
class MatchOptions:
    """What the worker is told; None and empty: its own defaults."""

    top: int = 5
    weights: Path | None = None
    scales: tuple[int, ...] = ()
    normalise_with: Path | None = None
    top_training: int | None = None
    factor: float | None = None
    max_rows: int | None = None
    threads: int | None = None

    def arguments(self):
        """The options as arguments of the worker, paths made absolute."""
        found = []
        for name in ("weights", "normalise_with", "top", "top_training", "factor", "max_rows", "threads"):
            value = getattr(self, name)
            if value is not None:
                text = value.absolute() if isinstance(value, Path) else value
                found.append(f"--{name.replace('_', '-')}={text}")
        return found + (["--scales", *map(str, self.scales)] if self.scales else [])


def match_folders(queries, references, output, options=None):
    """Match two folders of pictures; returns what was found as a dict: the paths of matches.csv, gallery.html
    and rejected.json, and what match.json says (folders with their counts, weights, settings).

    Raises Refusal for a folder without pictures, for missing weights, and where the worker fails; ends with
    the worker's status where that has refused or was interrupted, its own line being on stderr already.
    """
    options = options or MatchOptions()
    for what, folder in (("queries", queries), ("references", references)):
        _require_pictures(what, Path(folder))
    if options.normalise_with is not None:
        _require_pictures("pictures to normalise with", options.normalise_with)
    _require_weights(options.weights)
    output = Path(output).absolute()
    if output.exists() and not output.is_dir():
        raise Refusal(f"{output}: a file: --output takes a folder")
    status = _run(worker_command(queries, references, output, options))
    if status in (REFUSED, INTERRUPTED):
        sys.exit(status)
    if status:
        raise Refusal(
            f"the matching worker `python -m {WORKER}` ended with status {status}: its message stands above; "
            "the same command goes on from there"
        )
    gallery = write_gallery(output)
    return {
        "matches": str(output / "matches.csv"),
        "gallery": str(gallery),
        "rejected": str(output / "rejected.json"),
        **read_match(output / "match.json"),
    }


def lines(found):
    """What match_folders gives, for people: a list of lines."""
    counts = {name: folder["files"] - folder["rejected"] for name, folder in found["folders"].items()}
    rejected = sum(folder["rejected"] for folder in found["folders"].values())
    queries, references = (_counted(counts[side], side) for side in ("queries", "references"))
    text = [f"{_counted(found['rows'], 'pairs')} of {queries} and {references}: {found['matches']}"]
    if found["rows_left_out"]:
        text.append(f"{_counted(found['rows_left_out'], 'worse pairs')} left out: see --max-rows")
    if rejected:
        what = "no readable picture" + ("s" if rejected > 1 else "")
        text.append(f"{_counted(rejected, 'files')} left out, {what}: {found['rejected']}")
    return [*text, f"best matches and scores: {found['gallery']}"]


def _counted(number, what):
    """Such as "1 query" and "2,000 queries"."""
    one = what[:-3] + "y" if what.endswith("ies") else what[:-1]
    return f"{number:,} {one if number == 1 else what}"


def worker_command(queries, references, output, options):
    """The command line of the worker, with absolute paths."""
    return [
        sys.executable,
        "-m",
        WORKER,
        str(Path(queries).absolute()),
        str(Path(references).absolute()),
        "--output",
        str(output),
        *options.arguments(),
        f"--parent={os.getpid()}",
    ]


def worker_environment():
    """The environment of a worker: this one, with the project first on PYTHONPATH."""
    paths = [str(PROJECT / "src"), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _run(command):
    """The status of a worker; Ctrl-C reaches it too, and it ends by itself."""
    with subprocess.Popen(command, cwd=PROJECT, env=worker_environment()) as worker:
        while True:
            try:
                return worker.wait()
            except KeyboardInterrupt:
                continue


def _require_weights(weights):
    if weights is None and not MINI_WEIGHTS.is_file():
        raise Refusal(f"{MINI_WEIGHTS}: no weights there: run `make mini`, or pass --weights")
    if weights is not None and not weights.is_file():
        raise Refusal(f"{weights}: no such file: --weights takes trained weights, e.g. trained.pth.tar")


def _require_pictures(what, folder):
    """Refusal where the first files below `folder` are no pictures."""
    if not folder.is_dir():
        raise Refusal(f"{folder}: no such folder of {what}")
    tried = 0
    for path in _files(folder):
        tried += 1
        if os.path.isfile(path):  # opening a named pipe would wait for its other end
            with contextlib.suppress(RejectedImage), open_image(path):
                return
        if tried == TRIED:
            return  # the worker looks at all of them
    found = f"none of its {tried} files is a picture" if tried else "this folder is empty"
    raise Refusal(f"{folder}: {found}: the {what} are picture files in the folder or in folders below it")


def _files(folder):
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield os.path.join(place, name)
