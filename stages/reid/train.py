"""Train a person re-identification network: `train RUN`, a name in the section reid.runs; or by hand on a
params.json, `train --operation start_train --config_path params.json --sub_working_dir NAME`, without RUN."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.parameters import read_section, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, run_stage, stage_parser
from encore.systems.reid import SYSTEM
from encore.systems.reid.evaluation_input import evaluation_size
from encore.systems.reid.network import NetworkShape
from encore.systems.reid.params_json import params_from, read_params_json
from encore.systems.reid.record import HISTORY, write_curves
from encore.systems.reid.run_folder import LOG, RunFolder, copy_config, folder_of, refuse_another
from encore.systems.reid.training import resumed_identity, train_reid
from encore.systems.reid.training_batches import TrainingBatches
from encore.systems.reid.training_pictures import open_training_pictures
from encore.systems.reid.training_run import ReidRun, parameter_identity
from encore.systems.reid.unnamed_places import completed
from encore.training.loop import FROM_THE_START
from encore.training.replay_step import add_replay_step, is_first, wanted

START = "start_train"
OUTPUT = "models/reid/{}"
CURVES = "plots/reid/train/{}.csv"
CURVES_BY_HAND = "curves.csv"
SECTIONS = ("runs", "students")
"""Of reid in a parameter file; a student names its teacher, a run, in encore.teacher."""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The project's."""
ADVICE = "go on with those, or take a folder of another name"


def main():
    arguments = _parser().parse_args()
    typed = [name for name in ("operation", "config_path", "sub_working_dir") if getattr(arguments, name)]
    if arguments.run is not None:
        if typed:
            raise Refusal(
                "--{} describes a run beside the pipeline: leave RUN out, or change "
                "reid.runs.{} in {}".format(typed[0], arguments.run, arguments.params)
            )
        return train_of_pipeline(arguments.params, arguments.run)
    # Published: paths count from the script's folder; here from the caller's, as everywhere.
    config = arguments.config_path or "./params.json"
    if arguments.operation == START:
        if "WORLD_SIZE" in os.environ or wanted(FROM_THE_START) is not None:
            raise Refusal(
                "--operation {}: starts a run in the background: leave it out to replay a step and under a "
                "launcher of several processes, and give the run's whole path".format(START)
            )
        return launch(config, arguments.sub_working_dir)
    if arguments.operation:
        warn(
            "--operation {}: unknown, taken for a worker; the only one is {}".format(
                arguments.operation, START
            )
        )
    train_by_hand(config, arguments.sub_working_dir)


def _parser():
    parser = stage_parser(__doc__)
    parser.add_argument("run", nargs="?", metavar="RUN", help="a name in the section reid.runs")
    parser.add_argument("--operation", default="", help="{}: start a run in the background".format(START))
    parser.add_argument("--config_path", default="", metavar="FILE", help="default: ./params.json")
    parser.add_argument(
        "--sub_working_dir",
        default="",
        metavar="NAME",
        help="with {}: name of the run's folder in working_dir (default: the time); without: its whole "
        "path".format(START),
    )
    add_replay_step(parser)
    return parser


def warn(text):
    """Print a warning, once where several processes carry a run."""
    if is_first():
        print("encore: warning: {}".format(text), file=sys.stderr)


def launch(config, name):
    """Start a worker on a new run folder, or on one that goes on, in the background, and say where.

    What can be refused beforehand is, and leaves no trace. The worker gets the folder's lock.
    """
    params = _read_by_hand(config)
    environment = dict(os.environ, PYTHONUNBUFFERED="1")  # the log has each line at once
    visible = _visible(params.parallels)
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    run = _run(params)
    run.check()
    devices = 1 if visible is None else len(params.parallels)
    TrainingBatches(run.pictures, params).check(params.encore.replicas or devices)
    folder = RunFolder(os.path.abspath(folder_of(params.working_dir, name)))
    folder.refuse_other_weights()
    with folder.locked() as lock:
        if folder.goes_on():
            found, expected = resumed_identity(folder), parameter_identity(params)
            found = {key: text for key, text in found.items() if key in expected}
            refuse_another(found, expected, folder.resume_path, ADVICE)
        copy_config(config, folder.path)
        _start_worker(config, folder, environment, lock)


def _start_worker(config, folder, environment, lock):
    command = [sys.executable, "-m", "stages.reid.train", "--config_path", os.path.abspath(config)]
    with open(folder.file(LOG), "a") as log:
        if not folder.goes_on():
            log.truncate(0)
        worker = subprocess.Popen(
            command + ["--sub_working_dir", folder.path],
            stdin=lock,  # so that the worker has it from the first moment on
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    print("{}: process {}, log {}".format(folder.path, worker.pid, folder.file(LOG)))


def _visible(parallels):
    """CUDA_VISIBLE_DEVICES of a worker, published form ("0, 1"), or None without a GPU; Refusal for a GPU
    that is not there. Where it is set already, `parallels` counts among its GPUs."""
    import torch

    if not torch.cuda.is_available():
        return None
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = torch.cuda.device_count()
    names = [str(number) for number in range(found)] if names is None else names.split(",")[:found]
    if max(parallels) >= found:
        raise Refusal(
            "parallels: names GPU {}, found {} here, counted from 0: name those that are there".format(
                max(parallels), found
            )
        )
    return ", ".join(names[number].strip() for number in parallels)


def train_by_hand(config, path):
    """Train in this process into the folder `path`, as it stands (published)."""
    if not path:
        raise Refusal(
            "name a RUN of the section reid.runs, or the run's folder with --sub_working_dir, or start one "
            "in the background with --operation {}".format(START)
        )
    params = _read_by_hand(config)
    folder = RunFolder(path)
    snapshot = os.path.abspath(params.pretrain_snapshot or os.devnull)
    if os.path.dirname(snapshot) == os.path.abspath(path):
        raise Refusal(
            "pretrain_snapshot {}: lies in the run's own folder, which the run writes: leave it empty, a "
            "killed run goes on by itself, or take a folder of another name".format(params.pretrain_snapshot)
        )
    run = _run(params)
    if not is_first():  # a further process of the run: the first one keeps the records
        train_reid(run, None)
        return
    folder.refuse_other_weights()
    with folder.locked(), Stage(SYSTEM, "train_by_hand", item_of(path), seed=params.encore.seed) as stage:
        stage.recorded["parameters"] = params.as_mapping()
        _need_shared_memory(run, stage)
        stage.need_disk(_disk(run), "weights", path)
        result = train_reid(run, folder)
        write_curves(folder.file(HISTORY), folder.file(CURVES_BY_HAND))
        print("{}: {} iterations, {} now".format(path, result.iterations, result.done))


def item_of(path):
    """Name of the run folder `path` in the stage's records: its own, and a digest of where it lies."""
    place = os.path.realpath(path)
    return "{}-{}".format(os.path.basename(place), hashlib.sha256(os.fsencode(place)).hexdigest()[:8])


def train_of_pipeline(path, name):
    """Train the run `name` of the parameter file `path`."""
    params = read_run(path, name)
    if not is_first():  # a further process of the run: the first one keeps the records
        train_reid(_run(params), None)
        return
    with Stage(SYSTEM, "train", name, seed=params.encore.seed) as stage:
        stage.recorded["parameters"] = params.as_mapping()
        run = _run(params)
        _need_shared_memory(run, stage)
        work = stage.work_folder(recipe_digest(run.identity()))
        stage.need_disk(_disk(run), "weights", work)
        folder = RunFolder(os.path.join(work, "run"), os.path.join(work, "resume.pth"))
        os.makedirs(folder.path, exist_ok=True)
        with open(folder.file(LOG), "a" if folder.goes_on() else "w", encoding="utf-8", buffering=1) as log:
            result = train_reid(run, folder, log=log)
        write_curves(folder.file(HISTORY), CURVES.format(name))
        stage.metrics(result.metrics)
        stage.evidence(EvidenceFile(Counts.of_labels(run.pictures.labels, classes="num_labels")))
        stage.publish(folder.path, OUTPUT.format(name))


def read_run(path, name):
    """The ReidParams of reid.runs.<name>, or of reid.students.<name>, of a parameter file; Refusal naming
    file and key."""
    found = {}
    for section in SECTIONS:
        for run, mapping in _section(path, section).items():
            if run in found:
                raise Refusal("{}: {} is in reid.runs and reid.students: rename one".format(path, run))
            found[run] = (section, mapping)
    if name not in found:
        raise Refusal("{}: reid.runs.{}: missing; there are {}".format(path, name, ", ".join(found)))
    section, mapping = found[name]
    params, warnings = params_from(mapping, "{}: reid.{}.{}".format(path, section, name))
    for line in warnings:
        warn(line)
    return params


def _section(path, name):
    """The section reid.<name> of a parameter file, a mapping; that of students may be missing."""
    sections = read_section(path, SYSTEM)
    found = (sections.get(name) or {}) if isinstance(sections, dict) else None
    if not isinstance(found, dict) or (name == SECTIONS[0] and not found):
        raise Refusal("{}: the section reid.{}, names with values, is missing".format(path, name))
    return {str(run): mapping for run, mapping in found.items()}


def _read(config):
    params, warnings = read_params_json(config)
    for line in warnings:
        warn(line)
    return params


def _read_by_hand(config):
    """As _read, with the places that a published file cannot name."""
    return completed(_read(config), ROOT, warn)


def _run(params):
    if not params.batches_dir:
        raise Refusal("batches_dir: missing: name the folder of the training pictures")
    NetworkShape.of(params).check_height(evaluation_size(params.as_mapping())[0])
    pictures = open_training_pictures(params.batches_dir, params.encore.naming)
    if params.encore.keep_bytes and params.num_preprocess_workers:
        warn(
            "encore.keep_bytes: without effect, num_preprocess_workers is {}: loader processes keep no "
            "pictures, only with 0 of them are any kept".format(params.num_preprocess_workers)
        )
    return ReidRun(params, pictures, warn)


def _need_shared_memory(run, stage):
    shared = TrainingBatches(run.pictures, run.params).shared_memory(run.params.num_preprocess_workers)
    stage.need_shared_memory(shared, "batches of pictures")


def _disk(run):
    """Bytes that a run holds at most: latest and best weights, the resume file with up to two moments, and
    the next one of each being written."""
    weights = sum(tensor.numel() for tensor in run.network(with_start=False).state_dict().values())
    return 4 * weights * (2 + 3 + 3)


if __name__ == "__main__":
    run_stage(main)
