"""The rows of the suite: each reader's hostile files by family, its kept inputs, its fuzzers."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from faults.fault import Row
from faults.hostile.atheris_run import atheris_rows
from faults.hostile.case import FAMILIES, GARBLED, Case
from faults.hostile.cases import all_cases
from faults.hostile.corpus import corpus_folder
from faults.hostile.isolation import Isolation
from faults.hostile.readers import READERS
from faults.hostile.trial import INSIDE, trial

SUITE = "hostile"
KEPT, HYPOTHESIS = "kept inputs of fuzzing", "fuzzing (hypothesis)"
EXAMPLES = {True: 300, False: 8}
"""Of hypothesis, for each reader, in full and in short."""
SHORT_SHARE = 7
"""In short each reader is given every seventh hostile file of each family, and all that run code."""
ATHERIS_SECONDS = 2


def suite_rows(full):
    """Rows of all readers; full: all files at full size, and the long fuzzers."""
    cases = all_cases(full)
    with Isolation() as isolation, tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for number, reader in enumerate(READERS):
            chosen = [case for case in cases if suits(case, reader)]
            if not full:
                chosen = [case for at, case in enumerate(chosen) if (at + number) % SHORT_SHARE == 0]
            yield from reader_rows(isolation, reader, chosen, Path(folder))
            if reader.form != "folder":
                yield mutation_row(isolation, reader, EXAMPLES[full], Path(folder))
        if full:
            fuzzed = [reader for reader in READERS if reader.form != "folder"]
            yield from atheris_rows(fuzzed, ATHERIS_SECONDS, Path(folder))


def suits(case, reader):
    """Whether a Case is for the form of a Reader; those for all forms are for single files."""
    return reader.form in case.forms or (not case.forms and reader.form != "folder")


def reader_rows(isolation, reader, cases, folder):
    """A Row for each family of `cases` (and the kept inputs) that a reader is given."""
    groups = {family: [case for case in cases if case.family == family] for family in FAMILIES}
    groups[KEPT] = list(kept_cases(reader))
    for family, chosen in groups.items():
        if chosen:
            yield _row(isolation, reader, family, chosen, folder)


def kept_cases(reader):
    """The kept inputs of a Reader as Cases: they may be read or refused, and nothing else."""
    place = corpus_folder(reader)
    for path in sorted(place.iterdir()) if place.is_dir() else ():

        def make(sample, _, path=path):
            shutil.copy(path, sample)

        yield Case(GARBLED, path.name, make, (reader.form,), "it only must not fail again")


def _row(isolation, reader, family, cases, folder):
    began, losses, seconds, memory = time.monotonic(), [], 0.0, 0
    for case in cases:
        wrong, outcome = trial(isolation, reader, case, folder / "case")
        seconds, memory = max(seconds, outcome.seconds), max(memory, outcome.memory)
        if wrong is not None:
            losses.append(f"{reader.form}: {case.name}: {wrong}")
    figures = (("longest_seconds", round(seconds, 3)), ("most_mebibytes", float(memory >> 20)))
    survived, took = len(cases) - len(losses), time.monotonic() - began
    return Row(SUITE, reader.name, family, len(cases), survived, took, tuple(losses), "", figures)


def mutation_row(isolation, reader, examples, folder):
    """The Row of hypothesis on a reader: one fault for each input on which it failed."""
    began, place = time.monotonic(), folder / "mutations" / INSIDE
    place.mkdir(parents=True)
    outcome = isolation.mutations(reader.name, place, examples)
    if outcome.end == "returned":
        answer = json.loads(outcome.text)
        tried, losses = answer["tried"], [f"{name}: {text}" for name, text in sorted(answer["found"].items())]
        kept = list(answer["found"])
    else:
        tried, losses, kept = 1, [outcome.text], ["last-input"]
    losses += [f"it did what no reader does: {deed}" for deed in outcome.deeds]
    _keep(reader, [place / name for name in kept])
    shutil.rmtree(place.parent)
    took, tried = time.monotonic() - began, max(tried, len(losses))
    figures = (
        ("inputs", float(tried)),
        ("crashes", float(len(losses))),
        ("seconds", round(outcome.seconds, 1)),
    )
    return Row(SUITE, reader.name, HYPOTHESIS, tried, tried - len(losses), took, tuple(losses), "", figures)


def _keep(reader, found):
    """Copy inputs that were found to where the next run finds them first; whoever mends the reader commits
    them."""
    for path in found:
        if path.is_file():
            corpus_folder(reader).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, corpus_folder(reader) / path.name)
