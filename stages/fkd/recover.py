"""Make the synthetic pictures from the teacher; accepts every flag of the published scripts."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from encore.data.class_folders import ClassFolders
from encore.metrics.evidence.counts import Counts
from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.refusal import Refusal
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.fkd.networks import NetworkShape, build, frozen, load_weights
from encore.systems.fkd.recover import flags
from encore.systems.fkd.recover.recipe import RecoverRecipe
from encore.systems.fkd.recover.recovery import identity, recover, write_curves, write_summary
from encore.systems.fkd.recover.snapshots import write_strips
from encore.systems.fkd.sections import NETWORK, SYSTEM, TEACHER

OUTPUT = "data/fkd/synthetic"
SUMMARY = "data/fkd/recovered.json"
"""Beside the pictures: the published reader takes what lies among them for a class."""
CURVES = "plots/fkd/recover.csv"
STRIPS = "plots/fkd/snapshots"
PUBLISHED_FOLDER = "./syn_data"
SMALL = 64
"""Largest side for which the published teachers have the small stem."""


@dataclass(frozen=True)
class VerifierParameters:
    """A network that is asked what it sees in the pictures; it decides nothing."""

    weights: str
    network: NetworkShape = field(default_factory=lambda: NetworkShape("mobilenet_v2"))


@dataclass(frozen=True)
class RecoverParameters:
    """The section fkd.recover."""

    teacher: str = TEACHER
    """Weights; the network is that of the section fkd.network."""
    verifier: Optional[VerifierParameters] = None
    """Published: torchvision's mobilenet_v2."""
    ipc_start: int = 0
    ipc_end: Optional[int] = None
    """A part of the pictures of each class for this machine; None: all."""
    recipe: RecoverRecipe = field(default_factory=RecoverRecipe)


class RecoverRun(NamedTuple):
    """A recovery from its values to its folder."""

    shape: NetworkShape
    parameters: RecoverParameters
    rank: Optional[int]
    output: Optional[str]
    """By hand: folder of the experiment; None: the pipeline's run."""


def run_of(arguments, chosen):
    """The run that the command line describes. Refusal for flags that do not fit together."""
    if "preset" in chosen:
        shape, parameters = _preset_run(chosen)
    else:
        shape = read_parameters(arguments.params, NETWORK, NetworkShape)
        parameters = read_parameters(arguments.params, "fkd.recover", RecoverParameters)
        if not chosen:
            return RecoverRun(shape, parameters, None, None)
        recipe = flags.with_flags(parameters.recipe, chosen)
        name = chosen.get("arch_name", shape.name)
        if name != shape.name and "arch_path" not in chosen:
            raise Refusal("--arch-name {}: give its weights with --arch-path".format(name))
        if name != shape.name:
            shape = NetworkShape(name, shape.classes, shape.small_stem)
        parameters = dataclasses.replace(
            parameters, recipe=recipe, teacher=chosen.get("arch_path", parameters.teacher)
        )
    parameters = dataclasses.replace(
        parameters,
        verifier=_verifier(parameters.verifier, shape, chosen),
        ipc_start=chosen.get("ipc_start", parameters.ipc_start),
        ipc_end=chosen.get("ipc_end", parameters.ipc_end),
    )
    name = chosen.get("exp_name", parameters.recipe.experiment_name(shape.name))
    output = os.path.join(chosen.get("syn_data_path", PUBLISHED_FOLDER), name)
    return RecoverRun(shape, parameters, chosen.get("rank"), output.rstrip("/"))


def _preset_run(chosen):
    """The network and the parameters of a published script, without a parameter file."""
    if "arch_path" not in chosen:
        raise Refusal("--preset needs the teacher's weights: give them with --arch-path")
    recipe = flags.with_flags(flags.preset(chosen["preset"]), chosen)
    shape = NetworkShape(chosen.get("arch_name", "resnet18"), recipe.classes, recipe.size <= SMALL)
    return shape, RecoverParameters(chosen["arch_path"], recipe=recipe)


def _verifier(verifier, shape, chosen):
    if "verifier_arch_path" in chosen:
        name = chosen.get("verifier_arch", "mobilenet_v2")
        small = shape.small_stem and name.startswith("resnet")
        return VerifierParameters(chosen["verifier_arch_path"], NetworkShape(name, shape.classes, small))
    if "verifier_arch" in chosen:
        raise Refusal("--verifier-arch: give its weights with --verifier-arch-path")
    return verifier


def main():
    parser = stage_parser(__doc__, maps=True)
    arguments = flags.add_recover_flags(parser).parse_args()
    chosen, warnings = flags.typed(arguments)
    run = run_of(arguments, chosen)
    for warning in warnings:
        print("encore: warning: {}".format(warning), file=sys.stderr)
    recipe = run.parameters.recipe
    by_hand = run.output is not None
    with Stage(SYSTEM, "recover_by_hand" if by_hand else "recover", _item(run), recipe.seed) as stage:
        stage.recorded["parameters"] = dataclasses.asdict(run.parameters)
        stage.recorded["other_parameters"] = {"network": dataclasses.asdict(run.shape)}
        stage.recorded["published_flags"] = {key: str(value) for key, value in sorted(chosen.items())}
        digest = file_digest(needed(run.parameters.teacher))
        stage.recorded["teacher_sha256"] = digest
        verifier = run.parameters.verifier
        asked = None if verifier is None else file_digest(needed(verifier.weights))
        if asked is not None:
            stage.recorded["verifier_sha256"] = asked
        if by_hand:
            # Beside the pipeline: ranges add up in one folder, and the pipeline's outputs are left alone.
            records = run.output + ".records"
            _recover(run, digest, asked, run.output, records, stage)
            write_summary(recipe, digest, records, run.output + ".json")
            write_curves(records, os.path.join(records, "curves.csv"))
            write_strips(records, os.path.join(records, "strips"))
        else:
            _pipeline_run(run, digest, asked, stage)


def _pipeline_run(run, digest, asked, stage):
    parameters = run.parameters
    chosen = [parameters.recipe.images_per_class, parameters.ipc_start, parameters.ipc_end]
    work = stage.work_folder(recipe_digest(identity(parameters.recipe, digest, asked), chosen))
    folder, records = os.path.join(work, "pictures"), os.path.join(work, "records")
    result = _recover(run, digest, asked, folder, records, stage)
    summary = os.path.join(work, "recovered.json")
    write_summary(parameters.recipe, digest, records, summary)
    write_curves(records, CURVES)
    write_strips(records, STRIPS)
    numbers = {name: value for name, value in result.last.items() if name != "learning_rate"}
    stage.metrics(dict(numbers, pictures=result.pictures, classes=parameters.recipe.classes))
    stage.evidence(EvidenceFile(Counts.of_labels(ClassFolders(folder).labels, images="pictures")))
    stage.publish(summary, SUMMARY)
    stage.publish(folder, OUTPUT)


def _recover(run, digest, asked, folder, records, stage):
    parameters, recipe = run.parameters, run.parameters.recipe
    pictures = recipe.classes * recipe.images_per_class
    stage.need_disk(pictures * recipe.size**2 * 0.6, "{} pictures".format(pictures), folder)
    teacher = load_weights(build(run.shape, recipe.seed, recipe.size), parameters.teacher)
    verifier = parameters.verifier
    if verifier is not None:
        network = build(verifier.network, recipe.seed, recipe.size)
        verifier = frozen(load_weights(network, verifier.weights))
    return recover(
        recipe,
        teacher,
        folder,
        records,
        digest,
        parameters.ipc_start,
        parameters.ipc_end,
        run.rank,
        verifier,
        verifier_digest=asked or "",
    )


def _item(run):
    """Name of a run by hand: two ranges of one experiment may run at a time."""
    if run.output is None:
        return ""
    parameters = run.parameters
    span = "{}-{}".format(parameters.ipc_start, parameters.ipc_end or parameters.recipe.images_per_class)
    rank = "" if run.rank is None else ".rank{}".format(run.rank)
    return "{}.{}{}".format(os.path.basename(run.output), span, rank)


if __name__ == "__main__":
    run_stage(main)
