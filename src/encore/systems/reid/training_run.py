"""What a training run is made of: its identity, the weights it starts from, its teacher and its
GPUs."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, NamedTuple

import torch

from encore.data.picture_database import picture_digest
from encore.data.picture_tree import open_tree
from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal
from encore.runtime.seeds import derive_seed
from encore.systems.reid import SYSTEM
from encore.systems.reid.distillation import MODELS, Distillation, load_teacher
from encore.systems.reid.evaluators import evaluator_config, find_evaluator
from encore.systems.reid.network import NetworkShape, ReidNetwork
from encore.systems.reid.objective import CLASSIFICATION
from encore.systems.reid.run_folder import PARAMS, classes_of
from encore.systems.reid.unnamed_places import ranks_a_gallery
from encore.systems.reid.weights import load_imagenet, load_weights
from encore.training.distributed import ALONE

WITHOUT_EFFECT = (
    "batches_dir",
    "working_dir",
    "num_preprocess_workers",
    "parallels",
    "pretrain_snapshot",
    "encore.evaluation_root",
    "encore.evaluators",
    "encore.imagenet_weights",
    "encore.keep_bytes",
    "encore.save_every",
    "encore.teacher.model",
)
"""Keys that decide no result, and paths, of which what lies there counts."""
EVALUATION_PICTURES = "evaluation pictures"
"""Name in the identity of what the evaluations look at."""


class ReidRun(NamedTuple):
    """All that a run's result depends on."""

    params: Any
    """ReidParams."""
    pictures: Any
    """TrainingPictures."""
    warn: Callable = print
    """Takes one line each of what is worth knowing and stops nothing."""

    def identity(self):
        """Name -> text of what a resumed run must share."""
        found = parameter_identity(self.params)
        found["pictures"] = str(self.pictures.digest)
        for name, path in self._files():
            found["file of " + name] = file_digest(path)
        root = self.params.encore.evaluation_root
        if self.params.evaluation_params.type is not None and root is not None:
            found[EVALUATION_PICTURES] = _listing(root)
        return found

    def _files(self):
        params, own = self.params, self.params.encore
        if os.path.isfile(params.pretrain_snapshot):
            yield "pretrain_snapshot", params.pretrain_snapshot
        if params.imagenet_pretrain:
            yield "encore.imagenet_weights", _imagenet(params)
        evaluator = self.evaluator()
        if evaluator is not None:
            yield "evaluation_params.type", evaluator.module.__file__
        if own.teacher is not None:
            for name in (PARAMS,) + MODELS:
                path = os.path.join(own.teacher.model, name)
                if os.path.isfile(path):
                    yield "encore.teacher.model/" + name, path

    def evaluator(self):
        """The Evaluator, or None for a run without; Refusal where it is not found."""
        kind, own = self.params.evaluation_params.type, self.params.encore
        return None if kind is None else find_evaluator(kind, own.evaluators, own.best_by)

    def check(self):
        """Refusal for files and pictures of the run that are not there, without a network."""
        if self.params.imagenet_pretrain:
            _imagenet(self.params)
        evaluator = self.evaluator()
        if evaluator is not None and ranks_a_gallery(self.params):
            evaluator.check(evaluator_config(self.params, None, len(self.pictures.classes), 0, None, "cpu"))

    def network(self, with_start=True):
        """The ReidNetwork on the CPU: first values drawn from the seed, then ImageNet's backbone and the
        snapshot where the parameters name them; with_start False: neither.

        A snapshot that is not there is left out with a warning (published: silently).
        """
        params = self.params
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(params.encore.seed, SYSTEM, "init"))
            network = ReidNetwork(
                NetworkShape.of(params),
                len(self.pictures.classes),
                CLASSIFICATION in params.losses,
                params.asoftmax_params,
            )
        if with_start:
            self._start(network)
        return network

    def _start(self, network):
        params, snapshot = self.params, self.params.pretrain_snapshot
        if params.imagenet_pretrain:
            load_imagenet(network, _imagenet(params), params.encore.imagenet_sha256)
        if os.path.isfile(snapshot):
            missing = load_weights(network, snapshot).missing
            if missing:
                self.warn(
                    "pretrain_snapshot {}: lacks {} tensors of the network, which keep their first values: "
                    "{}".format(snapshot, len(missing), ", ".join(missing))
                )
        elif snapshot:
            self.warn("pretrain_snapshot {}: no such file, the run starts without it".format(snapshot))

    def teaching(self, network, device):
        """The Distillation of the student `network` on `device`, or None without a teacher; Refusal for a
        teacher that does not fit."""
        settings = self.params.encore.teacher
        if settings is None:
            return None
        classes = classes_of(settings.model)
        if classes != tuple(self.pictures.classes):
            raise Refusal(
                "encore.teacher.model {}: was trained on other identities ({} of them, here {}): take a "
                "run of the same batches_dir".format(settings.model, len(classes), len(self.pictures.classes))
            )
        distillation = Distillation(load_teacher(settings.model, len(classes)), settings)
        distillation.check_student(network)
        distillation.teacher.to(device)
        return distillation

    def replicas(self, device, processes=ALONE):
        """How many replicas share a batch: encore.replicas, whatever carries them. Without it as many as
        `parallels` has entries, each on a GPU of its own, the first ones that torch sees; 1 on the CPU, with
        the same batch. A warning where fewer are there; Refusal for several processes without it."""
        if self.params.encore.replicas is not None:
            return self.params.encore.replicas
        if processes.count > 1:
            raise Refusal(
                "encore.replicas: missing: {} processes share the replicas of a batch, whose number decides "
                "the result: set it, to {} for those of `parallels`".format(
                    processes.count, len(self.params.parallels)
                )
            )
        if device.type != "cuda":
            return 1
        wanted, found = len(self.params.parallels), torch.cuda.device_count()
        if found < wanted:
            self.warn(
                "parallels: {} entries and {} GPUs here: these share the whole batch of {}".format(
                    wanted, found, self.params.batch
                )
            )
        return min(wanted, found)


def parameter_identity(params):
    """Key -> text of the parameters that decide a result."""
    found = dict(_flat(params.as_mapping(), ""))
    found = {name: text for name, text in found.items() if name not in WITHOUT_EFFECT}
    found["parallels"] = str(len(params.parallels))  # which ones plays no part
    return found


def _listing(root):
    """Digest of names and sizes below `root`, not of contents: a picture that another one of as many bytes
    replaces is not noticed; the digest of a single file; a path that is neither stands for itself, an
    evaluator may know what it is."""
    if os.path.isfile(root):
        return file_digest(root)
    if not os.path.isdir(root) and "#" not in root:
        return root
    tree = open_tree(root)
    names = tree.files()
    return picture_digest(names, [0] * len(names), map(tree.size, names), ())


def _flat(mapping, path):
    for name, value in mapping.items():
        place = (path + "." + name).lstrip(".")
        if isinstance(value, dict):
            yield from _flat(value, place)
        else:
            yield place, json.dumps(value, sort_keys=True)


def _imagenet(params):
    path = params.encore.imagenet_weights
    if path is None:
        raise Refusal(
            "imagenet_pretrain is true and encore.imagenet_weights names no file: give torchvision's weights "
            "of {} there, or set imagenet_pretrain to false".format(params.model_params.model)
        )
    if not os.path.isfile(path):
        raise Refusal(
            "encore.imagenet_weights {}: no such file: download torchvision's weights of {}, or set "
            "imagenet_pretrain to false".format(path, params.model_params.model)
        )
    return path
