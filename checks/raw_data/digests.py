"""The digest manifest of a raw data set: made once by the user, kept, compared with what is there.

It is a file of `sha256sum`, which can check it too; a comment before each line holds the size of its file.
A manifest that `sha256sum` made itself, without sizes, is read as well.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from checks.raw_data.name_checks import SHOWN, first_few, shown
from encore.runtime.atomic import replacing
from encore.runtime.bounded_file import read_bounded
from encore.runtime.refusal import Refusal

LINE = re.compile(rb"(\\?)([0-9a-f]{64}) [ *](.+)\Z", re.DOTALL)
SIZE = re.compile(rb"# ([0-9]{1,18})\Z")
LARGEST = 1 << 29
"""Bytes of a manifest: 512 MiB; one of 1,431,167 pictures has 180 MB."""
ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}


@dataclass(frozen=True)
class Digest:
    """What is kept of one file: its SHA-256 and its bytes (None: the manifest does not say)."""

    sha256: str
    size: int | None


def manifest_path(folder, name):
    """Where the digests of one data set of a size are kept."""
    return Path(folder) / "digests" / f"{name}.sha256"


def escaped(name):
    """(mark before the digest, name) as sha256sum writes a file name, both bytes; any byte but 0 and / is
    allowed in a name, line breaks too."""
    raw = os.fsencode(name)
    safe = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"", raw) if safe == raw else (b"\\", safe)


def unescaped(mark, name):
    """The file name that `escaped` wrote down."""
    if mark:
        name = re.sub(rb"\\[\\nr]", lambda match: ESCAPES[match.group()], name)
    return os.fsdecode(name)


def write_manifest(path, root, kept):
    """Write the {name: Digest} of the files below `root`, in the order of the names, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    from_root = os.path.relpath(path, root)
    total = sum(digest.size for digest in kept.values())
    with replacing(path) as file:
        file.write(f"# {len(kept)} files, {total} bytes; before each line the bytes of its file\n".encode())
        file.write(os.fsencode(f"# check in {root or '.'} with: sha256sum --quiet --check {from_root}\n"))
        for name in sorted(kept):
            mark, text = escaped(name)
            file.write(b"# %d\n%s%s  %s\n" % (kept[name].size, mark, kept[name].sha256.encode(), text))


def read_manifest(path):
    """{name: Digest} of a manifest; raises Refusal naming file and line."""
    kept, size = {}, None
    for number, line in enumerate(_bytes_of(path).split(b"\n"), 1):
        if not line:
            continue
        if line.startswith(b"#"):
            match = SIZE.match(line)
            size = int(match.group(1)) if match else None
            continue
        match = LINE.match(line)
        if match is None:
            raise Refusal(
                f"{path}: line {number}: expected a line of sha256sum: put the kept file back, "
                "or delete it and record the digests again"
            )
        mark, digest, name = match.groups()
        kept[unescaped(mark, name).removeprefix("./")] = Digest(digest.decode(), size)
        size = None
    return kept


def _bytes_of(path):
    try:
        return read_bounded(path, LARGEST)
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror}): put the kept file back") from None


def differences(kept, sizes, found=None):
    """How the files there differ from the kept {name: Digest}, as short texts; [] where they do not.

    sizes: {name: bytes} of the files there; found: {name: SHA-256} where they were read too, so that changed
    and renamed files are known for sure.
    """
    missing = sorted(name for name in kept if name not in sizes)
    extra = sorted(name for name in sizes if name not in kept)
    renamed = _renamed(kept, missing, extra, sizes, found)
    gone, come = {pair[0] for pair in renamed}, {pair[1] for pair in renamed}
    texts = [
        *first_few("missing", [name for name in missing if name not in gone]),
        *first_few("unexpected", [name for name in extra if name not in come]),
        *_renamed_texts(renamed, sure=found is not None),
    ]
    both = [name for name in kept if name in sizes and kept[name].size is not None]
    for what, wrong in (
        ("truncated", sorted(name for name in both if sizes[name] < kept[name].size)),
        ("longer than recorded", sorted(name for name in both if sizes[name] > kept[name].size)),
    ):
        texts += first_few(what, wrong)
        texts += [f"{shown(name)} has {sizes[name]:,} of {kept[name].size:,} bytes" for name in wrong[:1]]
    if found is not None:
        changed = (
            name
            for name in kept
            if name in sizes and kept[name].size in (None, sizes[name]) and found[name] != kept[name].sha256
        )
        texts += first_few("changed content", sorted(changed))
    return texts


def _renamed(kept, missing, extra, sizes, found):
    """[(old name, new name)]: the same digest under another name or, where nothing was read, the only missing
    and the only unexpected file of one size."""

    def trait(name):
        if found is not None:
            return kept[name].sha256 if name in kept else found[name]
        return kept[name].size if name in kept else sizes[name]

    old, new = _by_trait(missing, trait), _by_trait(extra, trait)
    pairs = []
    for key, names in old.items():
        others = new.get(key, [])
        if key is not None and (found is not None or len(names) == len(others) == 1):
            pairs += zip(names, others, strict=False)
    return sorted(pairs)


def _by_trait(names, trait):
    groups = {}
    for name in names:
        groups.setdefault(trait(name), []).append(name)
    return groups


def _renamed_texts(renamed, sure):
    word = "is now" if sure else "may be, by its size,"
    texts = [f"renamed: {shown(old)} {word} {shown(new)}" for old, new in renamed[:SHOWN]]
    return texts + ([f"{len(renamed):,} renamed in all"] if len(renamed) > SHOWN else [])
