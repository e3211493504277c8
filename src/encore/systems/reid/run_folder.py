"""The folder of a training run: the published names in it, and what a killed run goes on from."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import os
import shutil
import time

from encore.runtime.atomic import replacing, write_json
from encore.runtime.refusal import Refusal
from encore.systems.reid.params_json import read_params_json
from encore.training import checkpoint_files

MODEL = "model.pth"
"""The latest weights, a flat state dict as published."""
BEST = "model_best.pth"
LOG = "train_log"
PARAMS = "params.json"
CLASSES = "classes.json"
"""{"classes": [names in the order of their labels]}; ours."""
RESUME = "resume.pth"
"""What an exact resume needs; the published run has none."""
EVENTS = "events.out.tfevents.*"
LOCK = "run.lock"
"""Locked while a run started by hand works in the folder; ours."""
STDIN = 0


def folder_of(working_dir, name=""):
    """Path of a new run: `name` in working_dir, by default the time in seconds as published; an absolute name
    stands for itself."""
    return os.path.join(working_dir, name or str(time.time()))


class RunFolder:
    """The files of one run.

    path: of what the run leaves. resume_path: of its resume file, by default in the same folder.
    """

    def __init__(self, path, resume_path=None):
        self.path = path
        self.resume_path = resume_path or os.path.join(path, RESUME)

    def file(self, name):
        """Path of a file of the run."""
        return os.path.join(self.path, name)

    def goes_on(self):
        """Whether an earlier start left something to go on from; what its run made must be there too."""
        return os.path.isfile(self.resume_path) and os.path.isfile(self.file(CLASSES))

    def begin(self):
        """Make the folder for a run from the start; Refusal where it holds weights that nothing goes on from.

        Event files are removed: published, but there by a pattern that finds none.
        """
        self.refuse_other_weights()
        os.makedirs(self.path, exist_ok=True)
        for path in glob.glob(os.path.join(glob.escape(self.path), EVENTS)):
            os.unlink(path)

    def refuse_other_weights(self):
        """Refuse a folder that holds weights which nothing goes on from; it is left as it is."""
        if self.goes_on():
            return
        held = [name for name in (MODEL, BEST) if os.path.exists(self.file(name))]
        if held:
            raise Refusal(
                "{}: holds {} of another run and no {} to go on from: take a folder of another name, or move "
                "that run away".format(self.path, " and ".join(held), os.path.basename(self.resume_path))
            )

    @contextlib.contextmanager
    def locked(self):
        """Hold the folder, which is made, against all other processes -> the lock's open file; Refusal where
        one has it.

        A process whose standard input is that open file has the lock already, from the one that started it.
        """
        os.makedirs(self.path, exist_ok=True)
        with _lock_file(self.file(LOCK)) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                file.seek(0)
                raise Refusal(
                    "{}: process {} trains in this folder: wait for it or stop it, or take a folder of "
                    "another name".format(self.path, file.read().strip() or "unknown")
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield file

    def describe(self, params, classes):
        """Write what describes the run: classes.json, and params.json as it takes effect, where no file of
        that name (a copied configuration) says the same."""
        if not _says(self.file(PARAMS), params):
            write_json(self.file(PARAMS), params.as_mapping())
        write_json(self.file(CLASSES), {"classes": list(classes)})

    def save_weights(self, name, state):
        """Write a state dict as MODEL or BEST."""
        checkpoint_files.save(self.file(name), state)

    def save_resume(self, content):
        """Write the resume file -> its path."""
        checkpoint_files.save(self.resume_path, content)
        return self.resume_path

    def load_resume(self):
        """The content of the resume file; Refusal where it is damaged."""
        return read_resume(self.resume_path)


def read_resume(path):
    """The content of a resume file; Refusal where it is damaged."""
    keys = ("identity", "position", "network", "optimizer", "counters")
    return checkpoint_files.load(path, keys, "person re-identification", "resume file")


def _lock_file(path):
    """The lock's file, opened anew unless it is standard input."""
    file = open(path, "a+")
    try:
        given = os.path.samestat(os.fstat(STDIN), os.fstat(file.fileno()))
    except OSError:  # there is no standard input
        given = False
    if not given:
        return file
    file.close()
    return os.fdopen(os.dup(STDIN), "a+")


def _says(path, params):
    """Whether the file at `path` reads as these ReidParams."""
    try:
        return read_params_json(path)[0] == params
    except Refusal:  # there is none, or not of this kind
        return False


def classes_of(folder):
    """The class names of a finished run, in the order of its labels; Refusal where `folder` is none."""
    path = os.path.join(folder, CLASSES)
    try:
        with open(path, encoding="utf-8") as file:
            return tuple(json.load(file)["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            "{}: expected the class names of a run ({}): name the folder of a run that stages.reid.train "
            "wrote".format(path, type(error).__name__)
        ) from None


def copy_config(config, folder):
    """Copy the configuration into `folder`, made with its parents, under its own base name -> path."""
    os.makedirs(folder, exist_ok=True)
    copy = os.path.join(folder, os.path.basename(config))
    if not (os.path.exists(copy) and os.path.samefile(config, copy)):
        with open(config, "rb") as source, replacing(copy) as file:
            shutil.copyfileobj(source, file)
    return copy


def refuse_another(found, expected, where, what_to_do):
    """Refuse a resume file whose identity `found` (name -> text) is not `expected`, naming what differs."""
    names = sorted(name for name in set(found) | set(expected) if found.get(name) != expected.get(name))
    if names:
        texts = ["{} ({}, now {})".format(name, found.get(name), expected.get(name)) for name in names]
        raise Refusal(
            "{}: belongs to a run with other values of {}: {}".format(where, ", ".join(texts), what_to_do)
        )
