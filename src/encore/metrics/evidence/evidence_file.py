"""The format of an evidence file: parts, each of a kind that knows what is computed from its arrays."""

from __future__ import annotations

import os

from encore.metrics.evidence.archive import encoded, write_archive
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

FORMAT = "encore-evidence/1"


class EvidenceFile:
    """What a stage writes: `parts`, each with a `kind` and `arrays()` -> {name: array}.

    Entries of the file: `format`; of part i `<i>/kind` and `<i>/<name>`. The numbers of a metric file are
    those of all parts together.
    """

    def __init__(self, *parts):
        self.parts = parts

    def write(self, path):
        """Write the file, atomically; equal parts make equal bytes."""
        arrays = {"format": encoded([FORMAT])}
        for number, part in enumerate(self.parts):
            arrays["{}/kind".format(number)] = encoded([part.kind])
            arrays.update(("{}/{}".format(number, name), value) for name, value in part.arrays().items())
        write_archive(path, arrays)


class WrittenEvidence:
    """An evidence file that lies at `path` already, as a run wrote it on the way."""

    def __init__(self, path):
        self.path = path

    def write(self, path):
        """Write the same bytes, atomically; Refusal, naming its folder, where a finished run left no such
        file."""
        folder = os.path.dirname(os.fspath(self.path)) or "."
        if not os.path.isfile(self.path):
            raise Refusal(
                "{}: missing: an earlier version finished the run in {}, without evidence: remove this "
                "folder and run the stage again".format(self.path, folder)
            )
        os.makedirs(os.path.dirname(os.fspath(path)) or ".", exist_ok=True)
        with open(self.path, "rb") as source, replacing(path) as file:
            file.write(source.read())
