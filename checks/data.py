"""`encore data`: are the raw data there, complete, and under the names that the published code expects?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from checks.raw_data.digests import differences, manifest_path, read_manifest
from checks.raw_data.hashing import forget, hash_files
from checks.raw_data.inputs import Input, read_inputs
from checks.raw_data.listing import Listing, list_files
from checks.raw_data.name_checks import first_few, name_problems
from checks.raw_data.names import NamePattern
from encore.runtime.atomic import write_json
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class State:
    """One data set beside what inputs.yaml says of it.

    `problems` are short texts, empty when all is right; `kept` says whether its digests are kept.
    """

    name: str
    entry: Input
    listing: Listing | None
    problems: list[str]
    kept: bool

    @property
    def word(self):
        return "missing" if self.listing is None else "wrong" if self.problems else "there"

    @property
    def blocks(self):
        """Whether a run must not start: a set that no stage needs may be absent, but not be wrong."""
        return self.word == "wrong" or (self.word == "missing" and self.entry.used_by is not None)


class DataRefusal(Refusal):
    """Some raw data are missing or wrong; `states` tells of every set that was looked at."""

    def __init__(self, text, states):
        super().__init__(*text.split("\n"))
        self.states = states


class Survey:
    """Looks at the data sets of one size; what several roles share is listed and read once."""

    def __init__(self, folder, content=False, workers=None, digest=True):
        self.folder, self.content, self.workers, self.digest = Path(folder), content, workers, digest
        self._listings, self._digests, self._names = {}, {}, {}

    def state(self, name, entry):
        """The State of one data set."""
        listing = self.listing(entry)
        path = manifest_path(self.folder, name)
        kept = path.is_file()
        problems = [f"nothing at {entry.path}"]
        if listing is not None:
            manifest = read_manifest(path) if kept else None
            found = self._read(name, entry, listing) if kept and self.content else None
            problems = objections(
                entry, listing, lambda: self._name_problems(entry, listing), manifest, found
            )
            if self.content and not kept and entry.sha256 is None:
                problems.append(f"no digests are kept: run `encore data --record --dataset {name}` once")
        return State(name, entry, listing, problems, kept)

    def listing(self, entry):
        """The Listing of a data set's path, None when nothing is there."""
        slashes = max((NamePattern.of(text, "names").slashes for text in entry.names), default=None)
        key = entry.path, slashes
        if key not in self._listings:
            self._listings[key] = list_files(self.folder / entry.path, slashes, self.digest)
        return self._listings[key]

    def _name_problems(self, entry, listing):
        key = entry.path, entry.names, entry.classes, entry.groups, entry.per_group
        if key not in self._names:
            self._names[key] = _names(entry, listing, self.folder)
        return self._names[key]

    def _read(self, name, entry, listing):
        """{name: SHA-256} of the files there."""
        key = entry.path, len(listing.files)
        if key not in self._digests:
            partial = manifest_path(self.folder, name).with_suffix(".reading")
            what = f"reading {name}"
            self._digests[key] = hash_files(listing.root, listing.files, partial, self.workers, what)
            forget(partial)
        return self._digests[key]


def objections(entry, listing, name_problems=list, manifest=None, found=None):
    """What is wrong with one data set that is there, as short texts; empty when it is what inputs.yaml says.

    name_problems: a function that returns what is wrong with its names; manifest: its kept digests; found:
    {name: SHA-256} of its files where they were read.
    """
    texts = []
    if entry.count is not None and len(listing.names) != entry.count:
        texts.append(f"{len(listing.names):,} files, expected {entry.count:,}")
    if not entry.names:
        texts += _first_and_last(entry, listing)
    sized = zip(listing.names, listing.sizes, strict=True)
    texts += first_few("empty", [name for name, size in sized if not size])
    differing = [] if manifest is None else differences(manifest, listing.files, found)
    texts += differing
    # the kept digests have named what is missing or too much already
    if entry.names and not (differing and manifest.keys() != listing.files.keys()):
        texts += name_problems()
    if entry.sha256 is not None and listing.sha256 not in (None, entry.sha256):
        texts.append(f"SHA-256 {listing.sha256}, expected {entry.sha256}")
    return texts


def _first_and_last(entry, listing):
    return [
        f"{what} file {listing.names[position]}, expected {expected}"
        for what, expected, position in (("first", entry.first, 0), ("last", entry.last, -1))
        if listing.names and expected is not None and listing.names[position] != expected
    ]


def _names(entry, listing, folder):
    classes = ()
    if entry.classes is not None:
        path = Path(folder) / entry.classes
        if not path.is_file():
            return [f"no list of classes at {entry.classes}"]
        classes = path.read_text(encoding="utf-8").split()
    return name_problems(entry, listing.names, classes)


def survey(folder, datasets=(), used_by=None, content=False, workers=None, digest=True):
    """The State of every chosen data set of the size in `folder`, in the order of inputs.yaml.

    datasets limits it to some sets, used_by to those of one family of systems. content: files are read and
    compared with the kept digests; digest: single files and tars are read for their own.
    """
    folder = Path(folder)
    inputs = read_inputs(folder / "inputs.yaml")
    look = Survey(folder, content, workers, digest)
    chosen = chosen_names(inputs, datasets, used_by, folder / "inputs.yaml")
    return [look.state(name, inputs[name]) for name in chosen]


def check_data(folder, datasets=(), used_by=None, content=False, workers=None):
    """Verify the raw data of the size in `folder` and write `inputs/<data set>.json` for each that is right.

    Returns the rows written. Arguments as `survey`. Raises one DataRefusal that lists every missing or wrong
    set with what is wrong, where to get it and where to put it.
    """
    states = survey(folder, datasets, used_by, content, workers)
    rows = [_write(Path(folder), state) for state in states if state.word == "there"]
    blocking = [state for state in states if state.blocks or (state.word != "there" and datasets)]
    if blocking:
        raise DataRefusal(
            f"{len(blocking)} of {len(rows) + len(blocking)} raw data sets of {Path(folder) / 'inputs.yaml'} "
            "are missing or wrong:\n" + "\n".join(description(state, folder) for state in blocking),
            states,
        )
    return rows


def description(state, folder):
    """What is wrong with a data set, where to get it, where to put it and on what terms: four lines."""
    entry = state.entry
    access = {"registration": " (after registration)", "agreement": " (after an agreement)"}
    return (
        f"  {state.name}: {'; '.join(state.problems) or 'there'}\n"
        f"    get it from: {entry.source}{access.get(entry.access, '')}\n"
        f"    put it at:   {Path(folder) / entry.place}\n"
        f"    licence:     {entry.licence or 'not stated'}"
    )


def chosen_names(inputs, datasets, used_by, path):
    """The names of the data sets that were asked for; raises Refusal for unknown ones."""
    unknown = [name for name in datasets if name not in inputs]
    if unknown:
        raise Refusal(f"{path}: no data set {unknown[0]}; known are {', '.join(inputs)}")
    families = sorted({entry.used_by for entry in inputs.values() if entry.used_by is not None})
    if used_by is not None and used_by not in families:
        raise Refusal(f"{path}: nothing is used by {used_by}; known are {', '.join(families)}")
    return [name for name in datasets or inputs if used_by in (None, inputs[name].used_by)]


def _write(folder, state):
    listing, entry = state.listing, state.entry
    names = "".join(f"{file}\n" for file in listing.names).encode("utf-8", "surrogateescape")
    row = {
        "dataset": state.name,
        "path": entry.path,
        "count": len(listing.names),
        "bytes": listing.bytes,
        "names_sha256": hashlib.sha256(names).hexdigest(),
        "licence": entry.licence,
    }
    if listing.sha256:
        row["sha256"] = listing.sha256
    path = folder / "inputs" / f"{state.name}.json"
    if not (path.is_file() and _read(path) == row):
        write_json(path, row)
    return row


def _read(path):
    try:
        return read_json_file(path)
    except ValueError:
        return None
