"""Evaluators: modules with `run_eval(config) -> float`, ours or dropped into a folder (spec reid 5.4)."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import sys
from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional

from encore.runtime.refusal import Refusal
from encore.systems.reid.known_keys import nearest

SHIPPED = "stages.reid.evaluate"
"""The package of the evaluators that come with the project."""
BEST_BY = "rank1"
"""The metric that decides where neither `encore.best_by` nor the module's own `BEST_BY` names one."""
ALIASES = {"classificaton_evaluate": "classification_evaluate"}
"""Names as the published list of parameters spells them."""
MODULE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


class EvaluatorError(RuntimeError):
    """An evaluator of the user's own does not work; what it raised is the cause, with its traceback."""


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
    best_by: Optional[str] = None
    """`encore.best_by`: the metric that decides; None: the module's `BEST_BY`, a text or a function of the
    config, else rank1."""

    def measure(self, config):
        """Measured of one model: the module's `evaluate(config)`, a dict of named metrics of which one
        decides, where it has one, else `run_eval(config)`, named after the module.

        Refusal for a result that is no finite number, and where the metric that decides is not there;
        EvaluatorError for what a module of the user's own raises.
        """
        if self._has_metrics:
            found = self._called("evaluate", config)
            if not isinstance(found, dict):
                raise self._refusal("evaluate(config)", "a dict of named numbers", found)
            metrics = {name: self._number(value, "metric {}".format(name)) for name, value in found.items()}
        else:
            metrics = {self.name: self._number(self._called("run_eval", config), "run_eval(config)")}
        return Measured(metrics[self._deciding(config, metrics)], metrics)

    def check(self, config):
        """Refusal, before a long run, for what `measure(config)` would refuse: of pictures by the module's
        `check(config)`, where it has one, and of the deciding metric."""
        if hasattr(self.module, "check"):
            self._called("check", config)
        self.check_best_by(config)

    def check_best_by(self, config):
        """Refusal where the deciding metric will not be there, as far as the module says by `METRICS` (names,
        or a function of the config) or has `run_eval` alone."""
        if not self._has_metrics:
            self._deciding(config, (self.name,))
        elif hasattr(self.module, "METRICS"):
            self._deciding(config, self._said("METRICS", config))

    @property
    def _has_metrics(self):
        return hasattr(self.module, "evaluate")

    def _deciding(self, config, metrics):
        """The name of the metric, one of `metrics`, that decides."""
        name, key = self.best_by, "encore.best_by"
        if name is None:
            name = self._said("BEST_BY", config, BEST_BY) if self._has_metrics else self.name
            key = "{}: BEST_BY, as encore.best_by names none".format(self.module.__file__)
        if name not in metrics:
            raise Refusal(
                "{}: expected a metric of the evaluator {} ({}), found {}".format(
                    key, self.name, ", ".join(metrics) or "it has none", name
                )
            )
        return name

    def _said(self, name, config, otherwise=None):
        value = getattr(self.module, name, otherwise)
        return self._called(name, config) if callable(value) else value

    def _called(self, name, config):
        try:
            return getattr(self.module, name)(config)
        except Refusal:
            raise
        except Exception as error:
            if os.path.dirname(self.module.__file__) == _shipped_folder():
                raise
            raise _broken(self.module.__file__, "{}(config)".format(name), error) from error

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


def find_evaluator(kind, folder=None, best_by=None):
    """The Evaluator of `evaluation_params.type`: `folder`/<kind>.py where there is one, else ours.

    folder: `encore.evaluators`, or None. It is put on the import path, so that its modules find each other
    (published). Refusal, listing what is there, where no module of the name is found, and for one without
    `run_eval`; EvaluatorError for what a module of the user's raises on import.
    """
    if not isinstance(kind, str) or not MODULE_NAME.match(kind):
        raise Refusal("evaluation_params.type: expected the name of a module, found {!r}".format(kind))
    if folder and not os.path.isdir(folder):
        raise Refusal("encore.evaluators: {}: no such folder of evaluator modules".format(folder))
    kind = alias_of(kind, folder) or kind
    for place in ([folder] if folder else []) + [_shipped_folder()]:
        if os.path.isfile(os.path.join(place, kind + ".py")):
            return Evaluator(kind, _loaded(place, kind), best_by)
    names = evaluator_names(folder)
    near = nearest(kind, names + list(ALIASES))
    raise Refusal(
        "evaluation_params.type: no evaluator {}{}: put {}.py with run_eval(config) into the folder {}, or "
        "take one of {}".format(
            kind,
            "; did you mean {}?".format(ALIASES.get(near, near)) if near else "",
            kind,
            folder or "that encore.evaluators names",
            ", ".join(names),
        )
    )


def alias_of(kind, folder=None):
    """The real name of an evaluator that `kind` is another spelling of, or None; a module of that very name
    in `folder` (or None) goes first."""
    if folder and os.path.isfile(os.path.join(folder, "{}.py".format(kind))):
        return None
    return ALIASES.get(kind)


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
    except Refusal:
        raise
    except Exception as error:
        if os.path.dirname(path) == _shipped_folder():
            raise
        raise _broken(path, "loading it", error) from error
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


def _broken(path, what, error):
    """The EvaluatorError for what a module of the user's raised."""
    text = " ".join("{}: {}".format(type(error).__name__, error).split())
    return EvaluatorError(
        "{}: {} failed ({}): look at the line of this file that the traceback above names last".format(
            path, what, text if len(text) <= 200 else text[:197] + "..."
        )
    )
