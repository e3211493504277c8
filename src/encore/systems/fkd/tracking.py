"""The record of a student's training, a row an epoch: JSON, published log lines, TensorBoard, wandb."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid

from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal
from encore.training.event_file import EventFile

HISTORY = "history.jsonl"
LOG = "log.txt"
WANDB_RUN = "wandb_run.txt"
"""Holds the id of the run at wandb, so that a resumed training goes on in the same one."""
WANDB_FOLDER = ".work"
"""Where wandb keeps its own files, in a folder wandb: they are no part of what a run publishes."""
KEY = "WANDB_API_KEY"
HIDDEN = "***"
KEY_FLAG = "--wandb-api-key"


def run_name(folder):
    """The last component of `folder`, with or without "/" at its end (with it the published name is
    empty)."""
    return os.path.basename(os.path.abspath(folder))


def lines(row):
    """The published log lines of an epoch's row: errors in percent, not accuracies."""
    found = [
        "TRAIN Iter %d: lr = %.6f,\tloss = %.6f,\tTop-1 err = %.6f,\tTop-5 err = %.6f,\t"
        % (
            row["train/epoch"],
            row["train/lr"],
            row["train/loss"],
            100 - row["train/Top1"],
            100 - row["train/Top5"],
        )
    ]
    if "val/loss" in row:
        found.append(
            "TEST Iter %d: loss = %.6f,\tTop-1 err = %.6f,\tTop-5 err = %.6f,\t"
            % (row["val/epoch"], row["val/loss"], 100 - row["val/top1"], 100 - row["val/top5"])
        )
    return found


class Tracker:
    """Writes one row an epoch into `folder`, prints the published lines and, unless disabled, sends it to
    wandb.

    history.jsonl: one object an epoch, {epoch, step: 0} and the published names train/{loss, Top1, Top5, lr,
    epoch} and val/{loss, top1, top5, epoch}, nothing that differs between two equal runs; log.txt: the
    published lines. Rows from `first` on, which a killed run has written, are cut away from both. mode:
    disabled (wandb is not even imported), offline or online. key: for online; None: that of the variable
    WANDB_API_KEY, or of an earlier `wandb login`. It is never written anywhere: instead of the published
    login, which stores it in the user's home, wandb reads it from this process's environment. name: of the
    wandb run; None: the folder's. A training that goes on goes on in its run at wandb too (wandb_run.txt);
    one that starts at the first epoch has a new one. wandb's own files, among them what an offline run has
    to send later, go to .work/wandb in the working directory.
    """

    def __init__(self, folder, mode="disabled", project="Temperature", key=None, first=0, name=None):
        self._kept = contextlib.ExitStack()
        self._wandb = _start_wandb(folder, mode, project, key, first, name, self._kept)
        history = os.path.join(folder, HISTORY)
        rows = _rows_before(history, first)
        with replacing(history, "w") as file:
            file.writelines(_line(row) for row in rows)
        with replacing(os.path.join(folder, LOG), "w") as file:
            file.writelines(line + "\n" for row in rows for line in lines(row))
        self._history = open(history, "a", encoding="utf-8", newline="\n")
        self._log = open(os.path.join(folder, LOG), "a", encoding="utf-8", newline="\n")
        self._events = EventFile(folder, first)

    def epoch(self, epoch, values):
        """Record an epoch: name -> number."""
        row = dict(values, epoch=epoch, step=0)
        self._history.write(_line(row))
        for line in lines(row):
            self._log.write(line + "\n")
            print(line, flush=True)
        self._history.flush()
        self._log.flush()
        self._events.add(epoch, values)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=epoch)

    def close(self):
        """Close all files and the wandb run."""
        self._history.close()
        self._log.close()
        self._events.close()
        if self._wandb is not None:
            self._wandb.finish()
        self._kept.close()


def hide_key(arguments=None):
    """Replace the API key among the command line's arguments (sys.argv), which wandb records."""
    arguments = sys.argv if arguments is None else arguments
    for place, argument in enumerate(arguments):
        if argument == KEY_FLAG and place + 1 < len(arguments):
            arguments[place + 1] = HIDDEN
        elif argument.startswith(KEY_FLAG + "="):
            arguments[place] = KEY_FLAG + "=" + HIDDEN


def _start_wandb(folder, mode, project, key, first, name, kept):
    if mode == "disabled":
        return None
    try:
        import wandb
    except ImportError:
        raise Refusal(
            "wandb is %s, but the package wandb is not installed: install it, or set wandb to disabled" % mode
        ) from None
    if mode == "online" and key:
        kept.enter_context(_key_in_environment(key))
    os.makedirs(WANDB_FOLDER, exist_ok=True)
    return wandb.init(
        project=project,
        name=name or run_name(folder),
        mode=mode,
        dir=WANDB_FOLDER,
        id=_run_id(os.path.join(folder, WANDB_RUN), first),
        resume="allow",
    )


def _run_id(path, first):
    """The id in the file `path`, which is written anew for a run whose first epoch is 0."""
    if first > 0 and os.path.exists(path):
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    made = uuid.uuid4().hex  # of the system's random numbers: a run's own are left alone
    with replacing(path, "w") as file:
        file.write(made + "\n")
    return made


@contextlib.contextmanager
def _key_in_environment(key):
    before = os.environ.get(KEY)
    os.environ[KEY] = key
    try:
        yield
    finally:
        del os.environ[KEY]
        if before is not None:
            os.environ[KEY] = before


def _line(row):
    return json.dumps(row, sort_keys=True, allow_nan=False) + "\n"


def _rows_before(path, first):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.endswith("\n")]
    return [row for row in rows if row["epoch"] < first]
