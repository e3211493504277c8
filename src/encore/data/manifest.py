"""The manifest of a data set: what it holds, proven by digests.

A data set folder holds `shard-00000.tar`, `shard-00000.index.npy`, … and `manifest.json`. Needs numpy only,
so that the orchestrator can read it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import numpy

from encore.data.inner_names import is_file_name, refuse_outside
from encore.data.npy_arrays import read_npy
from encore.runtime.atomic import file_digest, write_json
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

FORMAT = "encore-shards/1"
NAME = "manifest.json"


@dataclasses.dataclass(frozen=True)
class ShardEntry:
    """One shard: its tar file, how many images and bytes it holds, and the digests of tar and index."""

    name: str
    count: int
    bytes: int
    sha256: str
    index_sha256: str

    @property
    def tar(self):
        return self.name + ".tar"

    @property
    def index(self):
        return self.name + ".index.npy"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a data set holds.

    `digest` covers content, names, classes and count and nothing that differs between two equal runs;
    `recipe_digest` covers the parameters that made it.
    """

    count: int
    classes: int
    bytes: int
    shards: tuple
    digest: str
    recipe_digest: str
    format: str = FORMAT

    def write(self, folder):
        value = dataclasses.asdict(self)
        value["shards"] = [dataclasses.asdict(shard) for shard in self.shards]
        write_json(os.path.join(str(folder), NAME), value)

    @classmethod
    def read(cls, folder):
        """Read `<folder>/manifest.json`; raises Refusal when it is missing or not of this format."""
        path = os.path.join(str(folder), NAME)
        try:
            value = read_json_file(path)
            if value["format"] != FORMAT:
                raise Refusal(
                    "{}: format {!r}, expected {!r}: made by another version, make it again".format(
                        path, value["format"], FORMAT
                    )
                )
            shards = tuple(ShardEntry(**shard) for shard in value.pop("shards"))
            return _checked(cls(shards=shards, **value))
        except FileNotFoundError:
            raise Refusal(
                "{}: no such file: {} is not a finished data set, run its stage first".format(path, folder)
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refusal("{}: not a manifest ({}): make the data set again".format(path, error)) from None


def _checked(manifest):
    """`manifest`; ValueError for values of another kind, and for a shard that lies elsewhere."""
    numbers = (manifest.count, manifest.classes, manifest.bytes)
    numbers += tuple(number for shard in manifest.shards for number in (shard.count, shard.bytes))
    texts = (manifest.digest, manifest.recipe_digest)
    texts += tuple(text for shard in manifest.shards for text in (shard.sha256, shard.index_sha256))
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("counts and bytes are whole numbers")
    if any(type(text) is not str for text in texts):
        raise ValueError("digests are texts")
    if any(type(shard.name) is not str or not is_file_name(shard.name) for shard in manifest.shards):
        raise ValueError("shards lie beside their manifest")
    return manifest


FARTHEST = 1 << 60
FIELDS = (("label", "<i4"), ("offset", "<i8"), ("size", "<i8"))


def read_index(path):
    """The index of one shard: a structured array (name S, label i4, offset i8, size i8, sha256 32 bytes);
    Refusal, naming the file, for anything else, and for a place or a name that is none."""
    try:
        index = read_npy(str(path))
        fields = index.dtype.fields or {}
        fits = index.ndim == 1 and set(fields) == {"name", "label", "offset", "size", "sha256"}
        fits = fits and all(fields[name][0] == numpy.dtype(kind) for name, kind in FIELDS)
        fits = fits and fields["name"][0].kind == "S" and fields["sha256"][0] == numpy.dtype(("u1", (32,)))
        if not fits:
            raise ValueError("an array {} of {}".format(index.shape, index.dtype))
        if len(index) and min(int(index["offset"].min()), int(index["size"].min())) < 0:
            raise ValueError("a place before the file")
        if len(index) and max(int(index["offset"].max()), int(index["size"].max())) >= FARTHEST:
            raise ValueError("a place behind any file")
        refuse_outside(path, (name.decode("utf-8") for name in index["name"].tolist()))
    except (OSError, ValueError) as error:
        raise Refusal(
            "{}: not the index of a shard ({}): make the data set again".format(
                path, getattr(error, "strerror", None) or error
            )
        ) from None
    return index


def whole_digest(indexes):
    """(digest, classes) of the data set whose shard indexes come, in order, from `indexes`."""
    names, labels, contents = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    count, seen = 0, []
    for index in indexes:
        count += len(index)
        names.update(b"\n".join(index["name"].tolist()) + b"\n" if len(index) else b"")
        labels.update(index["label"].astype("<i4").tobytes())
        contents.update(numpy.ascontiguousarray(index["sha256"]).tobytes())
        seen.append(numpy.unique(index["label"]))
    classes = len(numpy.unique(numpy.concatenate(seen))) if seen else 0
    whole = json.dumps([count, classes, names.hexdigest(), labels.hexdigest(), contents.hexdigest()])
    return hashlib.sha256(whole.encode("ascii")).hexdigest(), classes


def verify_manifest(folder, content=False):
    """The problems of the data set in `folder`, one line each; empty when all of it holds.

    Checks presence and size of every shard, the digest of every index, offsets within the tar, names used
    twice, counts and the digest of the whole; with `content=True` also every byte of every shard.
    """
    manifest = Manifest.read(folder)
    problems, indexes = [], []
    for shard in manifest.shards:
        index, found = _check_shard(str(folder), shard, content)
        problems.extend(found)
        if index is not None:
            indexes.append(index)
    if problems:
        return problems
    count = sum(len(index) for index in indexes)
    digest, classes = whole_digest(indexes)
    for what, found, stated in (
        ("images", count, manifest.count),
        ("classes", classes, manifest.classes),
        ("bytes", sum(s.bytes for s in manifest.shards), manifest.bytes),
    ):
        if found != stated:
            problems.append(
                "{}: the manifest says {} {}, the shards hold {}".format(folder, stated, what, found)
            )
    if digest != manifest.digest:
        problems.append(
            "{}: the digest of names, classes and content is {}, the manifest says {}".format(
                folder, digest, manifest.digest
            )
        )
    return problems + _repeated_names(folder, indexes)


def _check_shard(folder, shard, content):
    tar, path = os.path.join(folder, shard.tar), os.path.join(folder, shard.index)
    for needed in (tar, path):
        if not os.path.isfile(needed):
            return None, ["{}: missing".format(needed)]
    size = os.path.getsize(tar)
    if size != shard.bytes:
        return None, ["{}: {} bytes, the manifest says {}".format(tar, size, shard.bytes)]
    if file_digest(path) != shard.index_sha256:
        return None, ["{}: its digest is not the manifest's".format(path)]
    index = read_index(path)
    if len(index) != shard.count:
        return index, ["{}: {} images, the manifest says {}".format(path, len(index), shard.count)]
    if len(index) and int((index["offset"] + index["size"]).max()) > size:
        return index, ["{}: an entry lies beyond the end of {}".format(path, tar)]
    if content and file_digest(tar) != shard.sha256:
        return index, ["{}: its content is not the manifest's".format(tar)]
    return index, []


def _repeated_names(folder, indexes):
    if not indexes:
        return []
    names = numpy.sort(numpy.concatenate([index["name"] for index in indexes]))
    repeated = names[1:][names[1:] == names[:-1]]
    return (
        [
            "{}: the name {} stands {} times".format(
                folder, repeated[0].decode("utf-8"), int((names == repeated[0]).sum())
            )
        ]
        if len(repeated)
        else []
    )
