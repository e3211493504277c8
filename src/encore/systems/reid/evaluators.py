"""Evaluators: modules with `run_eval(config) -> float`, ours or dropped into a folder (spec reid 5.4)."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import sys
from dataclasses import dataclass
from typing import Any, Dict, NamedTuple

from encore.runtime.refusal import Refusal

SHIPPED = "stages.reid.evaluate"
"""The package of the evaluators that come with the project."""
BEST_BY = "rank1"
"""The metric that decides by default; a module whose metrics have no such name says its own as `BEST_BY`."""
MODULE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


class Measured(NamedTuple):
    """What an evaluator found."""

    value: float
    """Decides which model is the best: larger is better."""
    metrics: Dict[str, float]


@dataclass(frozen=True)
class Evaluator:
    """The loaded module of one evaluator."""

    name: str
    module: Any
    best_by: str = BEST_BY

    def measure(self, config):
        """Measured of one model: the module's `evaluate(config)`, a dict of named metrics of which `best_by`
        decides, where it has one, else `run_eval(config)`, named after the module.

        Refusal for a result that is no finite number, and for a `best_by` that is not among the metrics.
        """
        if not hasattr(self.module, "evaluate"):
            value = self._number(self.module.run_eval(config), "run_eval(config)")
            return Measured(value, {self.name: value})
        found = self.module.evaluate(config)
        if not isinstance(found, dict):
            raise self._refusal("evaluate(config)", "a dict of named numbers", found)
        metrics = {name: self._number(value, "metric {}".format(name)) for name, value in found.items()}
        best_by = self.best_by
        if best_by == BEST_BY and best_by not in metrics:
            best_by = getattr(self.module, "BEST_BY", best_by)
        if best_by not in metrics:
            raise Refusal(
                "encore.best_by: expected a metric of the evaluator {} ({}), found {}".format(
                    self.name, ", ".join(metrics) or "it has none", best_by
                )
            )
        return Measured(metrics[best_by], metrics)

    def check(self, config):
        """Refusal, before a long run, for what `measure(config)` would refuse of its pictures: the module's
        `check(config)`, where it has one."""
        if hasattr(self.module, "check"):
            self.module.check(config)

    def _number(self, value, what):
        number = getattr(value, "item", lambda: value)() if getattr(value, "ndim", None) == 0 else value
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise self._refusal(what, "a finite number", value)
        return number

    def _refusal(self, what, expected, found):
        text = " ".join(repr(found).split())
        return Refusal(
            "{}: {}: expected {}, found {}: mend the evaluator".format(
                self.module.__file__, what, expected, text if len(text) <= 60 else text[:57] + "..."
            )
        )


def find_evaluator(kind, folder=None, best_by=BEST_BY):
    """The Evaluator of `evaluation_params.type`: `folder`/<kind>.py where there is one, else ours.

    folder: `encore.evaluators`, or None. It is put on the import path, so that its modules find each other
    (published). Refusal, listing what is there, where no module of the name is found, and for one without
    `run_eval`. What a module raises on import passes through with its traceback.
    """
    if not isinstance(kind, str) or not MODULE_NAME.match(kind):
        raise Refusal("evaluation_params.type: expected the name of a module, found {!r}".format(kind))
    if folder and not os.path.isdir(folder):
        raise Refusal("encore.evaluators: {}: no such folder of evaluator modules".format(folder))
    for place in ([folder] if folder else []) + [_shipped_folder()]:
        if os.path.isfile(os.path.join(place, kind + ".py")):
            return Evaluator(kind, _loaded(place, kind), best_by)
    raise Refusal(
        "evaluation_params.type: no evaluator {}: put {}.py with run_eval(config) into the folder {}, or "
        "take one of {}".format(
            kind, kind, folder or "that encore.evaluators names", ", ".join(evaluator_names(folder))
        )
    )


def evaluator_names(folder=None):
    """Names of the modules in `folder` (or None) and of ours, sorted."""
    places = ([folder] if folder else []) + [_shipped_folder()]
    names = {name[:-3] for place in places for name in os.listdir(place) if name.endswith(".py")}
    return sorted(name for name in names if MODULE_NAME.match(name) and name != "__init__")


def evaluator_config(params, net, num_labels, global_step, sub_working_dir, device):
    """The dict that an evaluator gets: the parameters under their published names, unknown keys too, and what
    belongs to the run (`online_net`, `batch_size`, `num_labels`, `global_step`, `sub_working_dir`,
    `evaluation_root`, `device`).

    params: ReidParams; net: in evaluation mode by then.
    """
    config = params.as_mapping()
    config.update(
        online_net=net,
        batch_size=params.batch_sampling_params.batch_size * len(params.parallels),  # also under P x K
        num_labels=num_labels,
        global_step=global_step,
        sub_working_dir=sub_working_dir,
        evaluation_root=params.encore.evaluation_root,
        device=str(device),
    )
    return config


def _shipped_folder():
    found = importlib.util.find_spec(SHIPPED)
    if found is None:
        raise Refusal(
            "expected our evaluators in the package {}, found none: run in the project's folder".format(
                SHIPPED
            )
        )
    return os.path.abspath(list(found.submodule_search_locations)[0])


def _loaded(folder, kind):
    """The module, loaded anew, and with the folder on the path: first now, last later."""
    path = os.path.join(os.path.abspath(folder), kind + ".py")
    found = importlib.util.spec_from_file_location("encore_evaluator_" + kind, path)
    module = sys.modules[found.name] = importlib.util.module_from_spec(found)  # dataclasses look it up there
    sys.path.insert(0, os.path.dirname(path))
    try:
        found.loader.exec_module(module)
    finally:
        sys.path.remove(os.path.dirname(path))
    if os.path.dirname(path) not in sys.path:
        sys.path.append(os.path.dirname(path))
    if not callable(getattr(module, "run_eval", None)):
        public = ", ".join(sorted(name for name in vars(module) if not name.startswith("_")))
        raise Refusal(
            "{}: expected a function run_eval(config) -> float, found {}".format(path, public or "nothing")
        )
    return module
