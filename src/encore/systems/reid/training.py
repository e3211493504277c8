"""Training a re-identification network as a params.json says: batches, evaluations and files of a run."""

from __future__ import annotations

import contextlib
import itertools
import sys
from typing import Callable, NamedTuple, Optional

import torch

from encore.runtime.numerics import exact
from encore.systems.reid import SYSTEM
from encore.systems.reid.evaluators import Evaluator, evaluator_config
from encore.systems.reid.record import Record
from encore.systems.reid.replica_shares import WHOLE, ReplicaShares
from encore.systems.reid.run_folder import BEST, MODEL, RunFolder, read_resume, refuse_another
from encore.systems.reid.stop_rule import StopRule
from encore.systems.reid.training_batches import TrainingBatches
from encore.systems.reid.training_run import EVALUATION_PICTURES, ReidRun
from encore.systems.reid.training_steps import ReidTraining
from encore.training import loop
from encore.training.checkpoint_files import Position
from encore.training.distributed import Processes, join_processes
from encore.training.replay_step import wanted


class Trained(NamedTuple):
    """Result of `train_reid`."""

    iterations: int
    """Of the whole run; `done` of them by this call, fewer after a resume."""
    done: int
    resumed: bool
    metrics: dict
    """Name -> number."""


@exact()  # the published run lets cuDNN try algorithms out, and may use TF32
def train_reid(run: ReidRun, folder: RunFolder, device=None, log=None, on_step=None):
    """Train the network of `run` into `folder` -> Trained.

    A killed run of the same values goes on there, on the CPU to the same bits, whatever the number of loader
    processes, and with encore.replicas whatever the number of processes that carry it; one that has ended
    does nothing. Of several processes the first writes, evaluates and decides what to go on from, which all
    read; what the others pass for `folder` and `log` is not looked at. device: "cpu" or "cuda", by default
    what is there. log: open text file of the published lines, by default stdout. on_step(epoch, step,
    StepResult): called after each step. Raises Refusal for weights, pictures and an evaluator that do not
    fit, for a folder that holds another run, and for a step with a numerical fault. With --replay-step
    nothing is written and nothing evaluated.
    """
    processes, device = join_processes(device, "--nproc_per_node")
    params, replicas = run.params, run.replicas(device, processes)
    shares = WHOLE if params.encore.replicas is None else ReplicaShares(replicas, processes)
    batches = TrainingBatches(run.pictures, params, shares)
    batches.check(replicas)
    rule, identity = StopRule(params, len(batches)), run.identity() if processes.is_first else {}
    content = _held(folder, identity, processes, device)
    network = run.network(with_start=content is None)
    teaching = run.teaching(network, device)
    training = ReidTraining(params, len(batches), network, teaching, device, replicas, processes)
    evaluator = run.evaluator()
    if evaluator is not None and processes.is_first:  # before the first step, not after the first epoch
        evaluator.check(_evaluator_config(run, training, folder, 0))
    start = Position(0, 0) if content is None else training.resume(content)
    writes = processes.is_first and wanted(start) is None
    if writes and content is None:
        _begin(run, training, folder, identity, start)
    due = content is not None and content.get("evaluation_due", False)
    processes.barrier()  # all have read what the first may write from now on
    record = None
    if writes:
        record = Record(folder.path, params, len(batches), start, log or sys.stdout, due)
    course = _Course(run, training, rule, batches, evaluator, folder, record, identity, on_step, processes)
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device.type == "cuda" else []):
            done = course.follow(start, due)
    finally:
        if record is not None:
            record.close()
    counts = {"images": len(run.pictures), "num_labels": len(run.pictures.classes)}
    metrics = dict(training.metrics(), iterations=rule.iterations, **counts)
    return Trained(rule.iterations, done, content is not None, metrics)


def resumed_identity(folder: RunFolder):
    """The identity that the resume file in `folder` was written with, or None where there is nothing to go
    on from."""
    return folder.load_resume()["identity"] if folder.goes_on() else None


def _held(folder, identity, processes, device):
    """The content to resume from, or None for a run from the start; the first process checks it."""
    path = folder.resume_path if processes.is_first and folder.goes_on() else None
    path = processes.first_says(path, device)
    if path is None:
        return None
    content = read_resume(path)
    if processes.is_first:
        _refuse_another_run(content, identity, path)
    return content


def _refuse_another_run(content, identity, path):
    advice = "go on with those, or take a folder of another name"
    found = dict(content["identity"])
    if not content["counters"]["evaluation"] and EVALUATION_PICTURES in identity:
        found[EVALUATION_PICTURES] = identity[EVALUATION_PICTURES]  # nothing depends on them so far
    refuse_another(found, identity, path, advice)


def _begin(run, training, folder, identity, start):
    """Begin a run in `folder`, at its Position `start`."""
    folder.begin()
    folder.save_resume(training.content(start, identity))
    folder.describe(run.params, run.pictures.classes)


def _evaluator_config(run, training, folder, done):
    """What an evaluator gets after `done` iterations."""
    classes = len(run.pictures.classes)
    return evaluator_config(run.params, training.network, classes, done, folder.path, training.device)


class _Course(NamedTuple):
    """What happens between and after the steps of a run; on disk where there is a record."""

    run: ReidRun
    training: ReidTraining
    rule: StopRule
    batches: TrainingBatches
    evaluator: Optional[Evaluator]
    folder: RunFolder
    record: Optional[Record]
    """None in a further process, and where a step is replayed."""
    identity: dict
    on_step: Optional[Callable]
    processes: Processes

    def follow(self, start, due=False):
        """Do all steps from the Position `start` on -> their number; due: after the evaluation before it."""
        iterations = len(self.batches)
        if due:
            epoch, step = divmod(self.training.iteration(start) - 1, iterations)
            self._evaluate(epoch, step, self.training.iteration(start))
            self._save_resume(start)
        if self.training.iteration(start) >= self.rule.iterations and wanted(start) is None:
            return 0
        steps = loop.Run(
            self.rule.epochs,
            iterations,
            self._batches,
            self.training.step,
            self._save_resume,
            self._after,
            self.run.params.encore.save_every,
            total=self.rule.iterations,
            networks=(self.training.network,),
            addresses=self.batches.names,
            folder=None if self.record is None else self.folder.path,
        )
        done = loop.train(steps, start, "{} training".format(SYSTEM))
        rest = self.rule.iterations % iterations
        if rest:  # the last epoch is no whole one
            self._save_resume(Position(self.rule.epochs - 1, rest))
        return done

    def _batches(self, epoch, first):
        left = self.rule.iterations - self.training.iteration(Position(epoch, first))
        workers = self.run.params.num_preprocess_workers
        return itertools.islice(self.batches.load(epoch, first, workers), left)

    def _save_resume(self, position, due=False):
        if self.record is None:
            return None
        return self.folder.save_resume(self.training.content(position, self.identity, due))

    def _after(self, epoch, step, result, seconds, waited):
        """Record a step, then save and evaluate where the published triggers say so."""
        iteration = self.training.iteration(Position(epoch, step))
        rows = self.training.rows
        if self.record is not None:
            self.record.step(epoch, step, iteration, result, rows, seconds, waited)
        if self.on_step is not None:
            self.on_step(epoch, step, result)
        if step + 1 == len(self.batches) or iteration + 1 == self.rule.iterations:
            means = self.training.end_epoch()
            if self.record is not None:
                self.record.epoch(epoch, step, iteration + 1, means)
        if self.rule.saves_after(epoch, step, iteration) and self.record is not None:
            self.folder.save_weights(MODEL, self.training.weights())
        if self.evaluator is not None and self.rule.evaluates_after(epoch, step, iteration):
            # First what was learnt: an evaluation that is refused or killed is made again, the steps are not.
            after = Position(epoch + (step + 1) // len(self.batches), (step + 1) % len(self.batches))
            self._save_resume(after, due=True)
            self._evaluate(epoch, step, iteration + 1)

    def _evaluate(self, epoch, step, done):
        """The first process evaluates, and the others wait for it."""
        if self.record is not None:
            self._measure(epoch, step, done)
        self.processes.barrier()

    def _measure(self, epoch, step, done):
        training, config = self.training, _evaluator_config(self.run, self.training, self.folder, done)
        training.network.eval()
        with torch.no_grad(), contextlib.redirect_stdout(self.record.log):  # evaluators print their lines
            measured = self.evaluator.measure(config)
        training.network.train()
        self.record.evaluation(epoch, step, done, measured.value, measured.metrics, training.rates())
        if training.take(measured, epoch, done):
            self.folder.save_weights(BEST, training.weights())
