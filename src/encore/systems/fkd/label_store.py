"""Our layout of labels: a manifest and one safetensors file an epoch.

`manifest.json` says what the labels are of (LabelDescription) and holds name, bytes and SHA-256 of each
epoch file; `pictures.txt` holds the pictures' names, one a line. `epoch_000.safetensors` holds, for all
batches of the epoch one after the other:

| array | dtype, shape | what |
|---|---|---|
| mix_share | float64 (batches,) | mixup, CutMix |
| coords | float32 (count, 4) | crops |
| mix_box | int32 (batches, 4) | CutMix: top, left, bottom, right |
| indices | int16 or int32 (count,) | numbers of the pictures |
| mix_order | int16 or int32 (count,) | mixup, CutMix: places within the batch |
| logits | float16 or float32 (count, classes) | where all classes are stored |
| top_class, top_logit, rest | int16 or int32, as logits (count, k), float32 (count,) | else |
| flips | bool (count,) | |

Opening a run reads the manifest; an epoch is mapped when its first batch is asked for, and its logits are
used where they lie.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import numpy as np
import torch

from encore.data.safetensors_file import TensorFile, writing
from encore.runtime.atomic import file_digest, replacing, write_json
from encore.runtime.bounded_file import read_bounded
from encore.runtime.json_file import read_json_file
from encore.runtime.parameters import from_mapping, recipe_digest
from encore.runtime.refusal import Refusal
from encore.systems.fkd import top_k_labels
from encore.systems.fkd.label_batch import LabelBatch, LabelDescription, check_batch
from encore.systems.fkd.label_set import Labels
from encore.systems.fkd.mixing import NONE, MixDraw

FORMAT = "encore-labels/1"
MANIFEST = "manifest.json"
PICTURES = "pictures.txt"
LARGEST_NAMES = 1 << 28
"""Bytes of the pictures' names: 256 MiB; 1,281,167 of ImageNet take 41 MB."""
INT16 = 2**15
"""Numbers below this are stored as int16, others as int32."""


def epoch_name(epoch):
    """The file name of an epoch's labels."""
    return "epoch_{:03d}.safetensors".format(epoch)


class LabelStore(Labels):
    """The labels in `folder`, as a LabelStoreWriter made them.

    Reads the manifest only. Refusal where it is damaged or of another format.
    """

    def __init__(self, folder):
        folder = os.fspath(folder)
        path = os.path.join(folder, MANIFEST)
        description, self._files = _read_manifest(path)
        super().__init__(folder, description, path)
        self._mapped = None

    def epoch_path(self, epoch):
        return os.path.join(self.folder, epoch_name(epoch))

    def names(self):
        path = os.path.join(self.folder, PICTURES)
        if not os.path.isfile(path):
            return None
        return [os.fsdecode(name) for name in read_bounded(path, LARGEST_NAMES).split(b"\n")[:-1]]

    @property
    def digest(self):
        return recipe_digest([file["sha256"] for file in self._files])

    def load(self, epoch, number):
        """The LabelBatch `number` of `epoch`; logits float32 where only the top classes are stored.

        Tensors of coords, flips and logits lie on the file's pages.
        """
        if not 0 <= number < self.batches:
            raise ValueError("batch {}: expected 0 to {}".format(number, self.batches - 1))
        file = self._epoch_file(epoch)
        first, rows = number * self.batch, self.description.rows(number)

        def part(name):
            return torch.from_numpy(file.rows(name, first, first + rows))

        indices, mix = part("indices").long(), NONE
        if self.mix != "none":
            share = float(file.rows("mix_share", number, number + 1)[0])
            box = None
            if self.mix == "cutmix":
                box = tuple(file.rows("mix_box", number, number + 1)[0].tolist())
            mix = MixDraw(self.mix, part("mix_order").long(), share, box)
        if self.top_k is None:
            logits = part("logits")
        else:
            places = part("top_class").long()
            logits = top_k_labels.full(places, part("top_logit"), part("rest"), self.classes)
        batch = LabelBatch(indices, part("coords"), part("flips"), mix, logits)
        check_batch(batch, self.description, number, "{}: batch {}".format(file.path, number))
        return batch

    def stored_pictures(self, epoch):
        """int (n,): the numbers of the pictures in the file of `epoch`, batch by batch, as it holds them."""
        file = TensorFile(self.epoch_path(epoch))
        return file.rows("indices", 0, file.arrays["indices"][1][0])

    def check_files(self, epochs):
        for epoch in range(epochs):
            self._open(epoch)

    def check_digests(self):
        """Refuse, naming it, an epoch file whose content is not what the manifest says; reads all files."""
        for epoch in range(self.epochs):
            if file_digest(self._open(epoch).path) != self._files[epoch]["sha256"]:
                raise Refusal(
                    "{}: not the content that {} says (SHA-256): copy it again, or relabel this epoch".format(
                        self.epoch_path(epoch), self.described_in
                    )
                )

    def _epoch_file(self, epoch):
        if self._mapped is None or self._mapped[0] != epoch:
            if not 0 <= epoch < self.epochs:
                raise Refusal(
                    "{}: no such epoch, the labels are of {}: relabel more".format(
                        self.epoch_path(epoch), self.epochs
                    )
                )
            self._mapped = epoch, self._open(epoch)
        return self._mapped[1]

    def _open(self, epoch):
        file = TensorFile(self.epoch_path(epoch))
        if not _holds(file, self.description, epoch):
            raise Refusal(
                "{}: labels of another set or epoch than {} says: copy the right file, or relabel this "
                "epoch".format(file.path, self.described_in)
            )
        return file

    def __getstate__(self):
        return dict(vars(self), _mapped=None)


class LabelStoreWriter:
    """Writes labels of `description` into `folder`, epoch by epoch in any order, from any number of machines;
    `finish` makes a label set of them.

    names: of the pictures (list of str), so that a changed folder can be refused by name. An epoch file says
    which description it belongs to, so that those of an earlier, killed run are kept. Refusal where a
    manifest or an epoch of other labels is there.
    """

    def __init__(self, folder, description, names=None):
        self.folder, self.description = os.fspath(folder), description
        self._names, self._digests = names, {}
        path = os.path.join(self.folder, MANIFEST)
        if os.path.isfile(path) and _digest(_read_manifest(path)[0]) != _digest(description):
            raise Refusal(
                "{}: other labels are there, made with other parameters or pictures: remove the folder, or "
                "choose another".format(self.folder)
            )
        os.makedirs(self.folder, exist_ok=True)

    def finished(self, epoch):
        """Whether the whole file of `epoch` is there, of these very labels.

        Refusal, naming it, for a whole one of other labels.
        """
        path = os.path.join(self.folder, epoch_name(epoch))
        if not os.path.isfile(path):
            return False
        try:
            file = TensorFile(path)
        except Refusal:
            return False
        if file.metadata.get("labels", "") not in ("", _digest(self.description)):
            raise Refusal(
                "{}: an epoch of other labels, made with other parameters or pictures: remove it, or choose "
                "another folder".format(path)
            )
        return _holds(file, self.description, epoch)

    def write(self, epoch, batches):
        """Write the file of `epoch` from its LabelBatches (an iterable, in order), whole or not at all.

        Each has its `indices` and the logits of all classes.
        """
        path, description = os.path.join(self.folder, epoch_name(epoch)), self.description
        number = -1
        with writing(path, _arrays(description), _metadata(description, epoch)) as file:
            for number, batch in enumerate(batches):
                if number >= description.batches:
                    break
                where = "{}: batch {}".format(path, number)
                if batch.indices is None:
                    raise ValueError("{}: expected the numbers of its pictures".format(where))
                whole = dataclasses.replace(description, top_k=None, temperature=None)
                check_batch(batch, whole, number, where)
                for name, first, rows in _pieces(batch, description, number):
                    file.put(name, first, rows)
            if number + 1 != description.batches:
                raise ValueError("{}: expected {} batches".format(path, description.batches))
        self._digests[epoch] = file_digest(path)

    def finish(self):
        """Write the manifest and return the LabelStore; Refusal, naming it, where an epoch is missing."""
        files = []
        for epoch in range(self.description.epochs):
            path = os.path.join(self.folder, epoch_name(epoch))
            if not self.finished(epoch):
                raise Refusal(
                    "{}: missing, or of other labels: relabel this epoch before the labels are "
                    "finished".format(path)
                )
            digest = self._digests.get(epoch) or file_digest(path)
            files.append({"name": epoch_name(epoch), "bytes": os.path.getsize(path), "sha256": digest})
        if self._names is not None:
            with replacing(os.path.join(self.folder, PICTURES)) as file:
                file.write(b"".join(os.fsencode(name) + b"\n" for name in self._names))
        manifest = {"format": FORMAT, "labels": dataclasses.asdict(self.description), "files": files}
        write_json(os.path.join(self.folder, MANIFEST), manifest)
        return LabelStore(self.folder)


def _read_manifest(path):
    """(LabelDescription, [{name, bytes, sha256} of each epoch])."""
    try:
        manifest = read_json_file(path)
        if manifest["format"] != FORMAT:
            raise Refusal(
                "{}: expected format {}, found {!r}: these are not labels, or of another version".format(
                    path, FORMAT, manifest["format"]
                )
            )
        description, files = manifest["labels"], list(manifest["files"])
        complete = len(files) == description["epochs"] and all(len(file["sha256"]) == 64 for file in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(
            "{}: cannot be read as the manifest of labels ({}): copy it again, or relabel".format(
                path, " ".join(str(error).split())
            )
        ) from error
    description = from_mapping(LabelDescription, description, path)
    if not complete:
        raise Refusal(
            "{}: expected {} epoch files with their SHA-256, found {}: copy it again, or relabel".format(
                path, description.epochs, len(files)
            )
        )
    return description, files


def _digest(description):
    """Digest of all but the number of epochs: a longer run may take over the files of a shorter one."""
    values = dict(dataclasses.asdict(description), epochs=None)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("ascii")).hexdigest()


def _metadata(description, epoch):
    return {"format": FORMAT, "labels": _digest(description), "epoch": str(epoch)}


def _holds(file, description, epoch):
    expected = {name: (np.dtype(dtype), shape) for name, (dtype, shape) in _arrays(description).items()}
    return file.metadata == _metadata(description, epoch) and file.arrays == expected


def _arrays(description):
    """Name -> (dtype, shape) of an epoch's file: wide dtypes first."""
    count, batches = description.count, description.batches
    arrays = {
        "coords": (np.float32, (count, 4)),
        "indices": (_whole(count), (count,)),
        "flips": (np.bool_, (count,)),
    }
    if description.mix != "none":
        arrays["mix_share"] = np.float64, (batches,)
        arrays["mix_order"] = _whole(description.batch), (count,)
    if description.mix == "cutmix":
        arrays["mix_box"] = np.int32, (batches, 4)
    if description.top_k is None:
        arrays["logits"] = description.dtype, (count, description.classes)
    else:
        arrays["top_class"] = _whole(description.classes), (count, description.top_k)
        arrays["top_logit"] = description.dtype, (count, description.top_k)
        arrays["rest"] = np.float32, (count,)
    return dict(sorted(arrays.items(), key=lambda item: (-np.dtype(item[1][0]).itemsize, item[0])))


def _whole(numbers):
    """The dtype for whole numbers below `numbers`."""
    return np.int16 if numbers <= INT16 else np.int32


def _pieces(batch, description, number):
    """(array, first row, rows) of each array that a LabelBatch gives something to."""
    first, mix = number * description.batch, batch.mix
    yield "coords", first, batch.coords.numpy()
    yield "indices", first, batch.indices.numpy().astype(_whole(description.count))
    yield "flips", first, batch.flips.numpy()
    if mix.kind != "none":
        yield "mix_share", number, np.array([mix.share], np.float64)
        yield "mix_order", first, mix.order.numpy().astype(_whole(description.batch))
    if mix.kind == "cutmix":
        yield "mix_box", number, np.array([mix.box], np.int32)
    if description.top_k is None:
        yield "logits", first, batch.logits.numpy()
        return
    places, values, rest = top_k_labels.cut(batch.logits, description.top_k, description.temperature)
    yield "top_class", first, places.numpy().astype(_whole(description.classes))
    yield "top_logit", first, values.numpy()
    yield "rest", first, rest.numpy()
