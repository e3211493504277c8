"""Every module that parses a file from outside is tried, and survives a share of the suite."""

import warnings
from pathlib import Path

import pytest

from encore.runtime.refusal import Refusal, brief, printable
from faults.hostile.cases import all_cases
from faults.hostile.corpus import CORPUS, corpus_folder
from faults.hostile.isolation import ROOT, Isolation
from faults.hostile.openers import OWN, opening_modules
from faults.hostile.readers import READERS
from faults.hostile.suite import EXAMPLES, mutation_row, suits
from faults.hostile.trial import trial

SHARE = 48
"""Every so-many-th pair of reader and hostile file is tried here; `make faults` tries them all."""
OWN_MODULES = {module: why for why, modules in OWN.items() for module in modules.split()}


@pytest.fixture(scope="module")
def isolation():
    with Isolation() as found:
        yield found


def test_every_module_that_parses_such_files_is_tried_or_says_why_not():
    tried, parsing = {reader.place for reader in READERS}, set(opening_modules(ROOT))
    assert sorted(parsing - tried - set(OWN_MODULES)) == []
    assert sorted(set(OWN_MODULES) & tried) == sorted(set(OWN_MODULES) - parsing) == []
    assert [module for module in OWN_MODULES if not (ROOT / module).is_file()] == []
    assert [place for place in tried if not (ROOT / place).is_file()] == []


def test_a_module_that_opens_a_pickle_is_found(tmp_path):
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "new.py").write_text("import pickle\n\n\ndef f(p):\n    return pickle.load(p)\n")
    assert opening_modules(tmp_path) == {"checks/new.py": ["pickle.load"]}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_sample_is_read(reader, tmp_path):
    reader.read(reader.sample(tmp_path))


def test_names_are_different_and_the_corpus_belongs_to_readers():
    names = [reader.name for reader in READERS]
    folders = {corpus_folder(reader).name for reader in READERS}
    assert len(set(names)) == len(names) == len(folders)
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= folders
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 2 << 20


def test_a_share_of_the_hostile_files_is_survived(isolation, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of the names that stand twice
        cases = all_cases(full=False)
        pairs = [(reader, case) for reader in READERS for case in cases if suits(case, reader)]
        losses = []
        for reader, case in pairs[::SHARE]:
            wrong, _ = trial(isolation, reader, case, Path(tmp_path) / "case")
            losses += [] if wrong is None else [f"{reader.name}: {case.name}: {wrong}"]
    assert losses == []


@pytest.mark.parametrize("form", sorted({reader.form for reader in READERS} - {"folder"}))
def test_changed_samples_are_read_or_refused(isolation, tmp_path, form):
    reader = next(reader for reader in READERS if reader.form == form)
    row = mutation_row(isolation, reader, EXAMPLES[False], tmp_path)
    assert row.losses == () and row.injected >= EXAMPLES[False]


def test_a_refusal_has_one_line_whatever_a_file_is_called():
    refusal = Refusal("a\nb\x1b[2J\u202e\udcff.jpg: no", "a second line of ours")
    assert str(refusal) == "a\\nb\\x1b[2J\\u202e\\udcff.jpg: no\na second line of ours"
    assert len(printable("x" * 10**6)) == 4000


def test_what_is_shown_of_lists_in_lists_is_short():
    lists = ["x"]
    for _ in range(60):
        lists = [lists] * 10
    assert len(brief(lists)) < 10000
    assert brief("Q00001") == repr("Q00001") and brief(0.5) == "0.5"
