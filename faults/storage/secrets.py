"""Secrets where users keep theirs, and a search of everything that Encore's commands then write and print."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from checks.planted import Search
from checks.size import PROJECT
from faults.fault import Row

SUITE = "storage"
SECRET = "planted" + hashlib.sha256(b"a secret that stands in no file of the project").hexdigest()[:20]
URL = f"https://owner:{SECRET}@lab.example.org/store"
VARIABLES = {
    name: SECRET
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HF_TOKEN", "LAB_PASSWORD")
} | {"DATABASE_URL": URL}
FILES = {
    ".env": f"WANDB_API_KEY={SECRET}\n",
    "mini/.env": f"TOKEN={SECRET}\n",
    "home/.netrc": f"machine api.wandb.ai login user password {SECRET}\n",
    "home/.aws/credentials": f"[default]\naws_secret_access_key = {SECRET}\n",
    ".dvc/config.local": f"['remote \"lab\"']\n    url = {URL}\n    password = {SECRET}\n",
    "mini/params.yaml": f"\ntracking: {{api_key: {SECRET}, store: '{URL}'}}\n",
}
"""What is put at the end of each file."""
KIND = f"secret in {len(VARIABLES)} variables, {len(FILES)} files, git's remote"
TRAINING = """
fkd:
  students: {small: {name: resnet18, classes: 5, small_stem: true, width: 4, layers: [1, 1, 1, 1]}}
  train:
    images: "data/rn18_bn0.01_[4K]_x_l2_x_tv.crop"
    labels: data/labels
    validation: data/validation
    recipe: {batch: 16, accumulation: 2, epochs: 1, mix: mixup, size: 16, workers: 0, validation_resize: 18,
             validation_workers: 0, seed: 3}
"""
GOLDEN = Path("tests/golden/fkd")
ENCORE = {
    "encore data": ("data", "--size", "mini"),
    "encore status": ("status", "mini"),
    "encore status --stages": ("status", "mini", "--stages"),
    "encore verify": ("verify", "mini", "--junit", "verdicts.xml", "--markdown", "verdicts.md"),
    "encore verify --from-predictions": ("verify", "mini", "--from-predictions", "--json"),
    "encore crate": ("crate", "mini", "--zip"),
    "encore report": ("report", "mini"),
    "encore compare": ("compare", "mini", "claims/reference/mini.json"),
    "encore doctor": ("doctor", "--json"),
    "encore recipe": ("recipe", "mini"),
}
SHORT = ("encore status", "encore verify", "encore crate")


class Workplace:
    """A folder with a finished run of the size mini, in which secrets are planted. fill: called with the
    Workplace, puts the run there; source: the folder of the code that runs."""

    def __init__(self, folder, fill, source=PROJECT):
        self.folder, self.source = folder, source
        fill(self)
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)
        self.run("git init", ["git", "init", "--quiet"])
        self.run("git remote", ["git", "remote", "add", "origin", URL])
        self._as_planted = self._state()

    def environment(self):
        """The variables of every command, the planted ones among them."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
        own = {"HOME": str(self.folder / "home"), "DVC_SITE_CACHE_DIR": str(self.folder / "home" / "site")}
        path = os.pathsep.join([str(self.source / "src"), str(self.source)])
        return {
            **kept,
            **own,
            **VARIABLES,
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
        }

    def run(self, what, command, cwd=".", statuses=(0,)):
        """What it printed; RuntimeError when it ends with another status: there was nothing to search."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder / cwd,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode not in statuses:
            raise RuntimeError(f"{what} ended with {done.returncode}: {done.stdout.decode()[-400:]}")
        return done.stdout

    def encore(self, name, *more):
        """Run one of ENCORE as a user does; a deviation or a warning (status 1) is an answer too."""
        return self.run(name, [sys.executable, "-m", "checks", *ENCORE[name], *more], statuses=(0, 1))

    def train(self):
        """A training with a token on its command line, tracked by the real wandb without network."""
        size = self.folder / "tiny"
        images = size / "data" / "rn18_bn0.01_[4K]_x_l2_x_tv.crop"
        for target in (images, size / "data" / "validation"):
            shutil.copytree(self.folder / GOLDEN / "images", target)
        shutil.copytree(self.folder / GOLDEN / "labels" / "mixup_fp16", size / "data" / "labels")
        (size / "params.yaml").write_text(TRAINING)
        command = [sys.executable, "-m", "stages.fkd.train", "small", "--wandb", "offline"]
        return self.run("training", [*command, "--wandb-api-key", SECRET], cwd="tiny")

    def leaks(self, printed, name):
        """Where the secret stands in what was printed and in every file that is new or was changed."""
        search = Search(SECRET.encode()).said(printed, f"what {name} printed")
        for path, state in self._state().items():
            if self._as_planted.get(path) != state:
                search.file(self.folder / path, path)
        return search.places

    def _state(self):
        paths = [path for path in self.folder.rglob("*") if path.is_symlink() or path.is_file()]
        return {
            path.relative_to(self.folder).as_posix(): (path.lstat().st_mtime_ns, path.lstat().st_size)
            for path in paths
        }


def copy_with_run(place):
    """Fill a Workplace with a copy of the project and the stored artefacts of its mini run."""
    subprocess.run([PROJECT / "bin" / "copy-project", place.folder], check=True)
    pull = [sys.executable, "-m", "dvc", "pull", "--quiet", "--remote", "mini", "mini/dvc.yaml"]
    place.run("git init", ["git", "init", "--quiet"])  # dvc asks for it
    place.run("dvc pull", pull)
    shutil.rmtree(place.folder / "mini" / "artefacts")
    place.source = place.folder


@contextmanager
def workplace(fill=copy_with_run):
    """A new Workplace."""
    with tempfile.TemporaryDirectory(prefix="encore-storage-") as folder:
        yield Workplace(Path(folder), fill)


def rows(full):
    """Every command; the short version takes those whose output is given away."""
    with workplace() as place:
        for name in ENCORE if full else SHORT:
            yield row(place, name, lambda name=name: place.encore(name))
        if full:
            yield row(place, "fkd_train by hand, wandb offline", place.train)


def row(place, name, command):
    """Run a command, which returns what it printed, and search -> a Row."""
    began = time.monotonic()
    leaks = place.leaks(command(), name)
    losses = (f"the secret stands in {', '.join(leaks[:5])}",) if leaks else ()
    return Row(SUITE, name, KIND, 1, 1 - len(losses), time.monotonic() - began, losses)
