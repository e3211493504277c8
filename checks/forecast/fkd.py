"""What fkd will take: squeeze, recover, relabel, students, and what they are compared with."""

from __future__ import annotations

from checks.forecast.grown import with_memory, with_objects, with_seconds
from checks.forecast.networks import of_section
from checks.forecast.rates_of import StepRate
from checks.forecast.rows import Row, hours_of, network_hours

FORWARD, TO_PICTURES, BOTH = 1, 2, 3
"""Passes of a picture: the forward one; with the backward one to the picture alone; to the weights, too."""
LABEL_NUMBERS = 100
"""Numbers of a label where growth was measured."""
FILES_OF_LABELS = 3
UNCOUNTED = "not measured: a network whose multiply-adds are not counted"


def forecast(parameters, counts, rates, hardware):
    """The Rows of the section `fkd`; counts: {data set: pictures} of inputs.yaml."""
    return [
        _squeeze(parameters, counts, rates, hardware),
        _recover(parameters, rates, hardware),
        _relabel(parameters, rates, hardware),
        _train(parameters, rates, hardware),
        _train_kd(parameters, rates, hardware),
        _baseline(parameters, counts, rates, hardware),
    ]


def synthetic(parameters):
    """Pictures that recover makes."""
    recipe = parameters["recover"]["recipe"]
    return recipe["classes"] * recipe["images_per_class"]


def _row(stage, pictures, work, rate, size, objects, starts=1):
    """A Row of network work: [(pictures, multiply-adds of one, batch, devices, passes)]."""
    each = [
        network_hours(count, forward, batch, rate, devices, passes)
        for count, forward, batch, devices, passes in work
    ]
    hours = None if None in each else sum(each)
    basis = UNCOUNTED if None in [forward for _, forward, *_ in work] else rate.source
    row = Row(stage, pictures, "pictures", hours, size / 1e9, basis, starts=starts)
    return with_objects(row, objects)


def _squeeze(parameters, counts, rates, hardware):
    made, forward = (
        parameters["squeeze"],
        of_section(parameters["network"], parameters["squeeze"]["recipe"]["size"]),
    )
    if made["published"]:
        return Row("squeeze", 0, "pictures", 0.0, 0.1, "torchvision's weights", objects=1)
    pictures = made["recipe"]["epochs"] * counts["labelled_training"]
    work = [(pictures, forward, made["recipe"]["batch"], hardware.gpus, BOTH)]
    return _row("squeeze", pictures, work, rates.trained, 1e8, 1)


def _recover(parameters, rates, hardware):
    """On the CPU by its own benchmark; on a GPU at the rate of training, which is not the same work."""
    recipe, pictures = parameters["recover"]["recipe"], synthetic(parameters)
    seen, forward = pictures * recipe["iterations"], of_section(parameters["network"], recipe["size"])
    size = pictures * (3 * recipe["size"] ** 2 / 4 + 1000)
    if forward is None:
        hours, basis = None, UNCOUNTED
    elif isinstance(rates.trained, StepRate):
        hours, basis = hours_of(seen * forward, rates.recovered, 1), rates.recovered.source
    else:
        hours = network_hours(seen, forward, recipe["batch"], rates.trained, hardware.gpus, TO_PICTURES)
        basis = rates.trained.source + "; assumed: two thirds of a training step's work"
    row = Row("recover", seen, "pictures x iterations", hours, size / 1e9, basis)
    return with_objects(row, pictures + 1)


def _relabel(parameters, rates, hardware):
    recipe, pictures = parameters["relabel"]["recipe"], synthetic(parameters)
    seen, classes = pictures * recipe["epochs"], parameters["network"]["classes"]
    work = [(seen, of_section(parameters["network"], recipe["size"]), recipe["batch"], 1, FORWARD)]
    size = seen * (
        (classes if recipe["top_k"] is None else 3 * recipe["top_k"]) * (2 if recipe["half"] else 4) + 24
    )
    row = _row("relabel", seen, work, rates.extracted, size, recipe["epochs"] + FILES_OF_LABELS)
    numbers = max(1, pictures * classes // LABEL_NUMBERS)
    row = with_seconds(row, [(rates.curves.seconds("label_store"), numbers, recipe["epochs"], 1)])
    return with_memory(row, rates.curves.memory("label_store"), numbers)


def _train(parameters, rates, hardware):
    """A GPU a student, as the pipeline starts them; steps of batch / accumulation pictures."""
    recipe, students = parameters["train"]["recipe"], parameters["student_names"]
    seen = synthetic(parameters) * recipe["epochs"]
    batch = max(1, recipe["batch"] // recipe["accumulation"])
    devices = max(1, min(hardware.gpus, len(students)))
    work = [
        (seen, of_section(parameters["students"][name], recipe["size"]), batch, devices, BOTH)
        for name in students
    ]
    return _row(
        "train",
        seen * len(students),
        work,
        rates.trained,
        5e8 * len(students),
        4 * len(students),
        len(students),
    )


def _train_kd(parameters, rates, hardware):
    """The teacher answers each batch beside the student's step."""
    work, pictures = [], 0
    for name in parameters["online_names"]:
        run = parameters["train_kd"][name]
        recipe = run["recipe"]
        seen = recipe["epochs"] * run["images_per_class"] * parameters["network"]["classes"]
        student, teacher = (
            of_section(section, recipe["size"])
            for section in (parameters["students"][run["student"]], parameters["network"])
        )
        batch, pictures = max(1, recipe["batch"] // recipe["accumulation"]), pictures + seen
        both = None if None in (student, teacher) else student + teacher / BOTH
        work.append((seen, both, batch, 1, BOTH))
    return _row("train_kd", pictures, work, rates.trained, 1e8 * len(work), len(work), len(work))


def _baseline(parameters, counts, rates, hardware):
    work, pictures = [], 0
    for name in parameters["baseline_names"]:
        run = parameters["baselines"][name]
        recipe, few = run["recipe"], run["images_per_class"]
        of_epoch = few * parameters["network"]["classes"] if few else counts["labelled_training"]
        seen, pictures = recipe["epochs"] * of_epoch, pictures + recipe["epochs"] * of_epoch
        forward = of_section(parameters["students"][run["student"]], recipe["size"])
        devices = min(max(1, hardware.gpus), recipe["replicas"])
        work.append((seen, forward, max(1, recipe["batch"] // recipe["accumulation"]), devices, BOTH))
    return _row("baseline", pictures, work, rates.trained, 1e8 * len(work), len(work), len(work))
