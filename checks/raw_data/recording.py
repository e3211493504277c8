"""`encore data --record`: hash every file of the raw data once, and keep the digests."""

from __future__ import annotations

from pathlib import Path

from checks.data import Survey, chosen_names
from checks.raw_data.digests import Digest, manifest_path, write_manifest
from checks.raw_data.hashing import forget, hash_files
from checks.raw_data.inputs import read_inputs
from encore.runtime.refusal import Refusal


def record_digests(folder, datasets=(), used_by=None, workers=None):
    """Write `digests/<data set>.sha256` of every chosen set that is there and right; rows {dataset, state,
    files, bytes, manifest}.

    A manifest that is kept already stays as it is. Roles that share a folder are hashed once. Raises Refusal
    naming the wrong sets, and the missing ones that were asked for by name, after the others are recorded.
    """
    folder = Path(folder)
    inputs = read_inputs(folder / "inputs.yaml")
    look, known, rows, wrong = Survey(folder), {}, [], []
    for name in chosen_names(inputs, datasets, used_by, folder / "inputs.yaml"):
        state = look.state(name, inputs[name])
        path = manifest_path(folder, name)
        word = "kept already" if state.kept and state.listing is not None else state.word
        if state.word == "wrong" or (state.word == "missing" and datasets):
            wrong.append(f"  {name}: {'; '.join(state.problems)}")
        elif word == "there":
            _record(path, state.listing, known, workers, name)
            word = "recorded"
        rows.append(
            {
                "dataset": name,
                "state": "wrong" if state.word == "wrong" else word,
                "files": len(state.listing.files) if state.listing else None,
                "bytes": sum(state.listing.files.values()) if state.listing else None,
                "manifest": str(path) if path.is_file() else None,
            }
        )
    if wrong:
        raise Refusal(f"no digests were recorded of {len(wrong)} data sets:", *wrong)
    return rows


def _record(path, listing, known, workers, name):
    """Hash the files of a listing, or take what another role of the same files has given, and keep it."""
    key = listing.root, tuple(listing.files) if len(listing.files) == 1 else len(listing.files)
    partial = path.with_suffix(".partial")
    if key not in known:
        found = hash_files(listing.root, listing.files, partial, workers, f"hashing {name}")
        known[key] = {file: Digest(found[file], size) for file, size in listing.files.items()}
    write_manifest(path, listing.root, known[key])
    forget(partial)
