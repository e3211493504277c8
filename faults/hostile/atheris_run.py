"""Fuzzing by atheris: inputs that reach new code of ours, in a process of its own for each reader.

As a program (`python -m faults.hostile.atheris_run FOLDER SECONDS READER ...`) it forks those processes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from faults.fault import Row
from faults.hostile.corpus import corpus_folder
from faults.hostile.isolation import ROOT

KIND = "fuzzing (atheris)"
MEMORY_MB, LONGEST_SECONDS = 2048, 10
STARTING = 30
"""Seconds that starting and reporting may take beside fuzzing."""
LOG, STATUS = "log", "status"
DONE = re.compile(r"^Done \d+ (?:runs )?in \d+ second", re.MULTILINE)
RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
INPUT = re.compile(r"Test unit written to (\S+)")
WHY = re.compile(r"^(?:faults\.hostile\.atheris_run\.)?(?:Broken|ERROR|==\d+== ?ERROR)[^\n]*", re.MULTILINE)


class Broken(Exception):
    """A reader did anything but return or refuse."""


def atheris_rows(readers, seconds, folder):
    """The Rows of `seconds` of coverage-guided fuzzing of each Reader; skipped where atheris is not
    installed."""
    if importlib.util.find_spec("atheris") is None:
        why = "atheris is not installed: install locks/faults.txt"
        yield from (Row("hostile", reader.name, KIND, 0, 0, 0.0, skipped=why) for reader in readers)
        return
    place = folder / "atheris"
    place.mkdir()
    for reader in readers:
        (place / corpus_folder(reader).name / "seeds").mkdir(parents=True)
        for path in corpus_folder(reader).iterdir() if corpus_folder(reader).is_dir() else ():
            shutil.copy(path, place / corpus_folder(reader).name / "seeds")
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(filter(None, paths)))
    command = [sys.executable, "-m", "faults.hostile.atheris_run", str(place), str(seconds)]
    names = [reader.name for reader in readers]
    done = subprocess.run([*command, *names], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"atheris ended with status {done.returncode}: {done.stderr[-3000:]}")
    for reader in readers:
        yield _row(reader, place / corpus_folder(reader).name)
    shutil.rmtree(place)


def _row(reader, place):
    log = (place / LOG).read_text(errors="replace")
    status, took = (place / STATUS).read_text().split()
    tried = max([int(number) for number in RUNS.findall(log)] or [0])
    losses = []
    if not DONE.search(log):  # what happens when the child then ends is of no interest
        found, why = INPUT.search(log), WHY.search(log)
        losses = [why.group()[:300] if why else f"ended with status {status}: {log[-200:]!r}"]
        if found is not None:
            corpus_folder(reader).mkdir(parents=True, exist_ok=True)
            kept = shutil.copy(found.group(1), corpus_folder(reader))
            losses = [f"{Path(kept).name}: {losses[0]}"]
    tried = max(tried, len(losses))
    figures = (("inputs", float(tried)), ("crashes", float(len(losses))), ("seconds", float(took)))
    survived = tried - len(losses)
    return Row("hostile", reader.name, KIND, tried, survived, float(took), tuple(losses), "", figures)


def main(folder, seconds, names):
    """Fuzz each reader in a child of this process, which has imported all our code instrumented."""
    import warnings

    import atheris

    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["encore", "checks"]):
        from faults.hostile.forking import import_all
        from faults.hostile.readers import READERS

        readers = [reader for reader in READERS if reader.name in names]
        import_all(readers)
    for reader in readers:
        place, began = Path(folder) / corpus_folder(reader).name, time.monotonic()
        child = os.fork()
        if not child:
            try:
                _fuzz(reader, place, seconds)
            finally:
                os._exit(70)
        status = _waited(child, began + int(seconds) + STARTING)
        (place / STATUS).write_text(f"{status} {time.monotonic() - began:.1f}")


def _waited(child, until):
    """The exit status of a child, or how it ended."""
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "no-end"


def _fuzz(reader, place, seconds):
    import atheris

    from faults.hostile.reading import reading

    log = os.open(place / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(log, number)
    inside = place / "inside"
    inside.mkdir()
    target = reader.sample(inside)
    (place / "seeds" / "sample").write_bytes(target.read_bytes())

    def once(data):
        target.write_bytes(data)
        end, text = reading(reader, target)
        if end == "failed":
            raise Broken(text)

    flags = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={LONGEST_SECONDS}"]
    flags += ["-print_final_stats=1", "-seed=1", "-max_len=65536", f"-artifact_prefix={place}/"]
    atheris.Setup([reader.name, *flags, str(place / "seeds")], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
