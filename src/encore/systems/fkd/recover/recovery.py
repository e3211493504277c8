"""A recovery: all batches of a range, each from its own seed, going on after a kill."""

from __future__ import annotations

import contextlib
import json
import os
from typing import NamedTuple

import torch

from encore.runtime.atomic import replacing, write_json
from encore.runtime.numerics import exact
from encore.runtime.placed_network import PlacedNetwork
from encore.runtime.progress import progress
from encore.runtime.refusal import Refusal
from encore.runtime.safe_load import safe_load
from encore.runtime.shard_map import map_units, on_cluster
from encore.runtime.unit_needs import DEVICE
from encore.systems.fkd.recover import snapshots
from encore.systems.fkd.recover.batches import planned
from encore.systems.fkd.recover.output import as_bytes, picture_name, write_picture
from encore.systems.fkd.recover.recipe import RecoverRecipe
from encore.systems.fkd.recover.statistics import MatchedTeacher
from encore.systems.fkd.recover.synthesis import Synthesis, random_streams
from encore.systems.fkd.top_k import hits
from encore.training import checkpoint_files
from encore.training.numerical_fault import NumericalFault

RECIPE = "recipe.json"


class Recovered(NamedTuple):
    """Result of `recover`."""

    pictures: int
    """Written by the batches of the range, in this call or an earlier one."""
    done: int
    """Iterations done by this call (fewer after a kill)."""
    last: dict
    """Name -> mean over the batches of the last recorded numbers: loss and its terms, verifier_top1."""


class Place(NamedTuple):
    """Where a recovery keeps what: the pictures, and beside them what lets it go on."""

    folder: str
    """Of the pictures; nothing else is written there."""
    records: str

    def record(self, batch):
        return os.path.join(self.records, "batch_%s.json" % batch.name)

    def state(self, batch):
        return os.path.join(self.records, "state_%s.pth" % batch.name)


@exact()
def recover(
    recipe: RecoverRecipe,
    teacher,
    folder,
    records,
    teacher_digest="",
    ipc_start=0,
    ipc_end=None,
    rank=None,
    verifier=None,
    device=None,
    on_step=None,
    verifier_digest="",
):
    """Make the pictures of a range (see `batches.planned`) and write them to `folder` -> Recovered.

    teacher: a network with BatchNorm2d layers, used up (see MatchedTeacher). records: folder of the record of
    each batch and of states, going on from what is there. teacher_digest: what tells its weights from
    others. verifier: a network, in evaluation mode, that is asked for the class of the pictures as they are,
    every recipe.print_every iterations; it decides nothing. verifier_digest: what tells its weights from
    others, so that no record holds answers of two. on_step(batch, iteration, Losses): called after each
    iteration. A picture depends on recipe, teacher and its batch's address only: ranges on other
    machines, and a run that is killed and started again, give the same files (on the CPU: the same number of
    threads and versions). Raises Refusal for records of other values and for an iteration with a numerical
    fault, the state before which is saved.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    batches = planned(recipe, ipc_start, ipc_end, rank)
    place = Place(str(folder), str(records))
    os.makedirs(place.folder, exist_ok=True)
    os.makedirs(place.records, exist_ok=True)
    asked = None if verifier is None else verifier_digest
    _refuse_other_values(identity(recipe, teacher_digest, asked), place)
    matched = MatchedTeacher(teacher, device)
    if max(max(batch.classes) for batch in batches) >= _outputs(matched, recipe, device):
        raise Refusal("classes: %d, the teacher has fewer outputs: lower it" % recipe.classes)
    verifier = None if verifier is None else PlacedNetwork(verifier.eval(), device)
    waiting = [batch for batch in batches if not os.path.exists(place.record(batch))]

    def make_worker():
        @exact()
        def synthesise(batch):
            streams = random_streams(recipe.seed, recipe.batching, *batch.address)
            synthesis = Synthesis(recipe, matched, batch.classes, *streams, device=matched.device)
            asked = None if verifier is None else verifier.network
            return BatchRun(synthesis, batch, place, asked).complete(on_step)

        return synthesise

    work = map_units(make_worker, waiting, 1, DEVICE, place)
    done = sum(progress(work, len(waiting), "batches of pictures") if on_cluster() else work)
    return Recovered(sum(sum(batch.kept) for batch in batches), done, last_numbers(place.records))


class BatchRun:
    """One batch from its noise, or from its saved state, to its files."""

    def __init__(self, synthesis, batch, place, verifier):
        self.synthesis, self.batch, self.place, self.verifier = synthesis, batch, place, verifier
        self.recipe, self.history = synthesis.recipe, []

    def complete(self, on_step=None):
        """Do all iterations that are left, and write the files -> how many were done."""
        synthesis = self.synthesis
        self._restore()
        first = synthesis.iteration
        self._snapshot()
        left = range(first, self.recipe.iterations)
        for iteration in progress(left, len(left), "batch %s" % self.batch.name):
            try:
                losses = synthesis.step()
            except NumericalFault as fault:
                raise self._refusal(fault) from fault
            self._snapshot()
            if iteration % self.recipe.print_every == 0 or synthesis.finished:
                self._note(iteration, losses)
            if on_step is not None:
                on_step(self.batch, iteration, losses)
            if self.recipe.save_every and synthesis.iteration % self.recipe.save_every == 0:
                self._save()
        self._write()
        return synthesis.iteration - first

    def _restore(self):
        path = self.place.state(self.batch)
        if not os.path.exists(path):
            return
        content = safe_load(path)
        self.history = [dict(entry) for entry in content["history"]]
        self.synthesis.restore(content["synthesis"])

    def _save(self):
        content = {"synthesis": self.synthesis.state(), "history": self.history}
        checkpoint_files.save(self.place.state(self.batch), content)

    def _refusal(self, fault):
        """Save the state before an iteration that cannot be made -> the Refusal to raise."""
        self._save()
        classes = self.batch.classes
        return Refusal(
            "batch %s: the pictures of classes %d to %d are lost at iteration %d: %s; the state before it is "
            "saved in %s: lower learning_rate or r_bn"
            % (
                self.batch.name,
                min(classes),
                max(classes),
                self.synthesis.iteration,
                fault,
                self.place.state(self.batch),
            )
        )

    def _note(self, iteration, losses):
        numbers = losses.numbers()
        if self.verifier is not None:
            with torch.no_grad():
                logits = self.verifier(self.synthesis.pictures)
            right = hits(logits, self.synthesis.targets, 1)
            numbers["verifier_top1"] = 100.0 * right / len(self.batch.classes)
        self.history.append(dict(numbers, iteration=iteration))

    def _snapshot(self):
        if self.synthesis.iteration in self.recipe.snapshots:
            pixels = as_bytes(self.synthesis.values().cpu())
            snapshots.write(self.place.records, self.recipe, self.batch, self.synthesis.iteration, pixels)

    def _write(self):
        pixels = as_bytes(self.synthesis.values().cpu())
        batch, digits = self.batch, self.recipe.class_digits
        for class_id, slot, kept, picture in zip(batch.classes, batch.slots, batch.kept, pixels):
            if kept:
                write_picture(self.place.folder, picture_name(class_id, slot, digits), picture)
        write_json(self.place.record(batch), {"history": self.history, "pictures": sum(batch.kept)})
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.place.state(batch))


def identity(recipe, teacher_digest, verifier_digest=None):
    """What the records of one folder share, as name -> text. verifier_digest: None where none is asked."""
    found = dict(recipe.digest(), teacher_sha256=teacher_digest)
    return found if verifier_digest is None else dict(found, verifier_sha256=verifier_digest)


def write_summary(recipe, teacher_digest, records, path):
    """Write what a folder of pictures was made with, and how many are there, to `path` beside it."""
    done = list(_records(records))
    values = {
        "pictures": sum(record["pictures"] for record in done),
        "batches": len(done),
        "values": recipe.digest(),
        "teacher_sha256": teacher_digest,
    }
    write_json(path, values)


def write_curves(records, path):
    """Write the means over all batches, by recorded iteration, as CSV to `path`; a number that no batch has
    at an iteration is left empty."""
    rows = {}
    for record in _records(records):
        for entry in record["history"]:
            rows.setdefault(entry["iteration"], []).append(entry)
    names = _names(entry for entries in rows.values() for entry in entries)
    os.makedirs(os.path.dirname(str(path)) or ".", exist_ok=True)
    with replacing(path, "w") as file:
        file.write(",".join(["iteration"] + names) + "\n")
        for iteration in sorted(rows):
            means = [_mean(rows[iteration], name) for name in names]
            means = ["" if mean is None else "%.6g" % mean for mean in means]
            file.write(",".join([str(iteration)] + means) + "\n")


def last_numbers(records):
    """Name -> mean over the finished batches of their last recorded numbers, each over those that have it;
    empty where there are none."""
    last = [record["history"][-1] for record in _records(records)]
    return {name: _mean(last, name) for name in _names(last)}


def _names(entries):
    return sorted({name for entry in entries for name in entry} - {"iteration"})


def _mean(entries, name):
    """Over the entries that have `name`; None where none has."""
    values = [entry[name] for entry in entries if name in entry]
    return sum(values) / len(values) if values else None


def _records(records):
    for name in sorted(os.listdir(records)):
        if name.startswith("batch_") and name.endswith(".json"):
            with open(os.path.join(records, name), encoding="utf-8") as file:
                yield json.load(file)


def _refuse_other_values(expected, place):
    path = os.path.join(place.records, RECIPE)
    if not os.path.exists(path):
        if any(os.scandir(place.folder)):
            raise Refusal(
                "%s holds files of an unknown origin (%s is missing): choose another folder or empty it"
                % (place.folder, path)
            )
        write_json(path, expected)
        return
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    changed = sorted(name for name in set(found) | set(expected) if found.get(name) != expected.get(name))
    if changed:
        shown = ["%s (%s, now %s)" % (name, found.get(name), expected.get(name)) for name in changed]
        raise Refusal(
            "%s was written with other values of %s: go on with those, or choose another folder"
            % (path, ", ".join(shown))
        )


def _outputs(matched, recipe, device):
    with torch.no_grad():
        return matched.network(torch.zeros((1, 3, recipe.size, recipe.size), device=device)).shape[1]
