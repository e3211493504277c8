"""Kept inputs of readers: each once did what none may; they seed the fuzzers and are read by the suite."""

from __future__ import annotations

import re
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"


def corpus_folder(reader):
    """Where the kept inputs of a Reader lie; there may be none."""
    return CORPUS / re.sub(r"[^a-z0-9]+", "-", reader.name.removesuffix(")").lower().replace(".py", ""))


def kept_inputs(reader):
    """The kept inputs of a Reader (list of bytes), by their names."""
    folder = corpus_folder(reader)
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
