"""`encore data`: are the raw data there, complete, and under the names that the published code expects?"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from checks.inputs import read_inputs
from encore.runtime.atomic import file_digest, write_json
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Listing:
    """What lies at a path: file names in string order, their bytes in sum, the digest of a file or tar."""

    names: list[str]
    bytes: int
    sha256: str | None = None


def list_files(spec):
    """The Listing of a folder, a file, or `file.tar#prefix`; None when nothing is there.

    A folder that holds folders and no file is listed as `folder/file` of each (one folder a class). Hidden
    files and folders are passed over. A folder is scanned once, file contents unread: 1,000,000 files take
    seconds.
    """
    path, marker, prefix = str(spec).partition("#")
    if marker:
        return _list_tar(path, prefix) if os.path.isfile(path) else None
    if os.path.isfile(path):
        return Listing([os.path.basename(path)], os.path.getsize(path), file_digest(path))
    if not os.path.isdir(path):
        return None
    files, folders = _scan(path)
    if not files:
        within = {name: _scan(f"{path}/{name}")[0] for name in folders}
        files = {f"{name}/{file}": size for name in folders for file, size in within[name].items()}
    return Listing(sorted(files), sum(files.values()))


def _scan(folder):
    """({file name: bytes}, [folder name]) of what lies directly in a folder."""
    files, folders = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                files[entry.name] = entry.stat().st_size
            elif entry.is_dir():
                folders.append(entry.name)
    return files, folders


def _list_tar(path, prefix):
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    try:
        with tarfile.open(path, "r:") as tar:
            members = [member for member in tar if member.isfile() and member.name.startswith(prefix)]
    except tarfile.TarError as error:
        raise Refusal(f"{path}: not an uncompressed tar ({error})") from None
    return Listing(
        sorted(member.name[len(prefix) :] for member in members),
        sum(member.size for member in members),
        file_digest(path),
    )


def objections(entry, listing):
    """What is wrong with one data set, as short texts; empty when it is what inputs.yaml says."""
    if listing is None:
        return [f"nothing at {entry.path}"]
    found = []
    if len(listing.names) != entry.count:
        found.append(f"{len(listing.names):,} files, expected {entry.count:,}")
    for what, expected, position in (("first", entry.first, 0), ("last", entry.last, -1)):
        if listing.names and expected is not None and listing.names[position] != expected:
            found.append(f"{what} file {listing.names[position]}, expected {expected}")
    if entry.sha256 is not None and listing.sha256 != entry.sha256:
        found.append(f"SHA-256 {listing.sha256}, expected {entry.sha256}")
    return found


def check_data(folder, datasets=(), used_by=None):
    """Verify the raw data of the size in `folder` and write `inputs/<data set>.json` for each that is right.

    Returns the rows written. `datasets` limits the check to some sets, `used_by` to those of one family of
    systems. Raises one Refusal that lists every
    missing or wrong set with what is wrong, where to get it and where to put it.
    """
    folder = Path(folder)
    inputs = read_inputs(folder / "inputs.yaml")
    rows, blocks = [], []
    for name in _chosen(inputs, datasets, used_by, folder / "inputs.yaml"):
        entry = inputs[name]
        listing = list_files(folder / entry.path)
        wrong = objections(entry, listing)
        if wrong:
            blocks.append(
                f"  {name}: {'; '.join(wrong)}\n    get it from: {entry.source}\n"
                f"    put it at:   {folder / entry.place}\n    licence:     {entry.licence}"
            )
        else:
            rows.append(_write(folder, name, entry, listing))
    if blocks:
        raise Refusal(
            f"{len(blocks)} of {len(rows) + len(blocks)} raw data sets of {folder / 'inputs.yaml'} "
            "are missing or wrong:\n" + "\n".join(blocks)
        )
    return rows


def _chosen(inputs, datasets, used_by, path):
    unknown = [name for name in datasets if name not in inputs]
    if unknown:
        raise Refusal(f"{path}: no data set {unknown[0]}; known are {', '.join(inputs)}")
    families = sorted({entry.used_by for entry in inputs.values()})
    if used_by is not None and used_by not in families:
        raise Refusal(f"{path}: nothing is used by {used_by}; known are {', '.join(families)}")
    return [name for name in datasets or inputs if used_by in (None, inputs[name].used_by)]


def _write(folder, name, entry, listing):
    names = "".join(f"{file}\n" for file in listing.names).encode("utf-8", "surrogateescape")
    row = {
        "dataset": name,
        "path": entry.path,
        "count": len(listing.names),
        "bytes": listing.bytes,
        "names_sha256": hashlib.sha256(names).hexdigest(),
        "licence": entry.licence,
    }
    if listing.sha256:
        row["sha256"] = listing.sha256
    path = folder / "inputs" / f"{name}.json"
    if not (path.is_file() and _read(path) == row):
        write_json(path, row)
    return row


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
