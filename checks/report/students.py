"""What the students of one label set reach, beside their teacher, online distillation and the baselines."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from checks.fields import read_fields
from checks.recipe import read_parameters, section_of
from checks.report.ingredients import Missing, need
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Scores:
    """Of the validation pictures, in percent: of the last epoch, and the best of all validated ones.

    A published file of weights has neither a best nor epochs.
    """

    top1: float
    top5: float
    best_top1: float | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class Row:
    """A trained network: what it is here, its architecture, and on what it was trained; `scores` None: not
    yet."""

    name: str
    role: str
    network: str
    values: str
    trained_on: str
    scores: Scores | None


@dataclass(frozen=True)
class Table:
    """The rows, and which of their metric files are missing (paths relative to the size folder)."""

    rows: list[Row]
    missing: list[str]


def students(folder, system="fkd"):
    """The Table of a size's params.yaml and `metrics/<system>`: teacher, students, online, baselines.

    Raises Missing where the parameters have no such system or nothing has run, Refusal for bad files.
    """
    path = need(folder, "params.yaml")
    parameters = read_parameters(path)
    if system not in parameters:
        raise Missing(f"params.yaml has no section {system}")
    rows, missing = [], []
    for name, role, network, trained_on, file in _entries(parameters, system, path):
        file = f"metrics/{system}/{file}"
        scores = _scores(folder, file)
        missing += [file] if scores is None else []
        rows.append(Row(name, role, *network, trained_on, scores))
    if len(missing) == len(rows):
        raise Missing(f"metrics/{system} holds no result of a training yet")
    return Table(rows, missing)


def _entries(parameters, system, path):
    """(name, role, network, what it is trained on, metric file) of everything the pipeline trains."""

    def section(name):
        return _mapping(section_of(parameters, f"{system}.{name}"), f"{path}: {system}.{name}")

    def network(student, where):
        if not isinstance(student, str) or student not in shapes:
            raise Refusal(f"{where}: {student!r} is no name in {system}.students")
        return _network(shapes[student], f"{path}: {system}.students.{student}")

    def runs(names, part):
        for name in _names(parameters, f"{system}.{names}", path):
            where = f"{path}: {system}.{part}.{name}"
            run = _mapping(section(part).get(name), where)
            yield name, run, network(run.get("student"), f"{where}.student")

    shapes = section("students")
    real = "real pictures" if section("squeeze").get("published") is None else "published weights"
    teacher = _network(section("network"), f"{path}: {system}.network")
    yield "teacher", "", teacher, real, "squeeze.json"
    for name in _names(parameters, f"{system}.student_names", path):
        shape = network(name, f"{path}: {system}.student_names")
        yield name, "student", shape, "synthetic pictures, stored labels", f"train/{name}.json"
    for name, run, shape in runs("online_names", "train_kd"):
        trained_on = f"{_count(run, 'synthetic')}, teacher online"
        yield name, "online distillation", shape, trained_on, f"train_kd/{name}.json"
    for name, run, shape in runs("baseline_names", "baselines"):
        taught = section_of(run, "recipe.distillation") is not None
        trained_on = f"{_count(run, 'real', 'random ')}, {'teacher online' if taught else 'their labels'}"
        yield name, "baseline", shape, trained_on, f"baseline/{name}.json"


def _count(run, kind, chosen=""):
    count = run.get("images_per_class")
    return f"all {kind} pictures" if count is None else f"{count} {chosen}{kind} pictures a class"


def _network(shape, where):
    """(name, its other values as text) of a network in the parameters."""
    shape = dict(_mapping(shape, where))
    name = shape.pop("name", None)
    shape.pop("classes", None)  # the same for all
    if not isinstance(name, str):
        raise Refusal(f"{where}.name: expected the name of a network, found {name!r}")
    return name, ", ".join(_value_text(key.replace("_", " "), value) for key, value in shape.items())


def _value_text(key, value):
    """One value of a network; its words stay on one line."""
    if isinstance(value, bool):
        text = key if value else f"no {key}"
    else:
        shown = "\N{NON-BREAKING HYPHEN}".join(map(str, value)) if isinstance(value, list) else value
        text = f"{key} {shown}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _mapping(value, where):
    if not isinstance(value, dict):
        raise Refusal(f"{where}: expected a mapping, found {value!r}")
    return value


def _names(parameters, name, path):
    names = section_of(parameters, name)
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise Refusal(f"{path}: {name}: expected a list of names, found {names!r}")
    return names


def _scores(folder, file):
    """Scores of a metric file, which holds other numbers too; None where it is missing."""
    try:
        path = need(folder, file)
    except Missing:
        return None
    try:
        value = read_json_file(path)
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run its stage again") from None
    known = {field.name for field in dataclasses.fields(Scores)}
    shown = {key: number for key, number in _mapping(value, path).items() if key in known}
    return read_fields(Scores, shown, f"{path}: ")
