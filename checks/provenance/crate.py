"""`encore crate`: the run of a size as a Workflow Run RO-Crate, for other people and for other years."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
import zipfile
from pathlib import Path

from checks.provenance import raw_data
from checks.provenance.discretion import Discretion
from checks.provenance.environments import Environments
from checks.provenance.files import Files
from checks.provenance.graph import Graph, ref, refs
from checks.provenance.run import Run
from checks.provenance.verdicts import Verdicts, read_verdicts
from checks.provenance.workflow import Workflow
from checks.recipe import read_parameters
from checks.yaml_file import read_yaml
from encore.runtime.atomic import file_digest, replacing
from encore.runtime.refusal import Refusal

METADATA = "ro-crate-metadata.json"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
LICENCE = "https://spdx.org/licenses/MIT"
README = """# {name}

A Workflow Run RO-Crate (profiles Process, Workflow and Provenance Run Crate 0.5), made by `encore crate`.
`ro-crate-metadata.json` says of every stage of the run what it read, was told, wrote and ran on, and of every
verdict which file it was read from. In a copy of the project `encore crate SIZE --output THIS_FOLDER --check`
compares the files here with their digests, and `--trace CLAIM` follows a verdict back to the raw data, which
are not here: each has its own licence.

Missing:

{missing}"""
BESIDE = ("LICENSE", "CITATION.cff", "locks/environments.yaml")
"""Files of the project that say what the rest is, held though no stage read them."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a crate holds; `missing`: what a complete one would have, or what is not as the run left it."""

    folder: str
    metadata_sha256: str
    files: int
    bytes: int
    entities: int
    stages: int
    verdicts: int
    missing: list[str]
    archive: str | None = None


def crate_folder(size):
    """Where the crate of a size lies."""
    return size.folder / "report" / "crate"


def write_crate(size, folder=None, archive=False):
    """Write the crate of a size into `folder` (its own by default) and return the Summary.

    `archive`: also as a zip beside it. Raises Refusal where nothing has run, or where the folder holds
    something that is no crate.
    """
    folder = Path(folder) if folder else crate_folder(size)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        if not (folder / METADATA).is_file():
            raise Refusal(f"{folder}: not empty, and not a crate: name another folder with --output")
    run = Run.of(size)
    graph, missing, verdicts = _graph(run)
    temporary = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    try:
        graph.write(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Summary(
        folder=str(folder),
        metadata_sha256=file_digest(folder / METADATA),
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        entities=len(graph.crate.get_entities()),
        stages=len(run.stages),
        verdicts=verdicts,
        missing=missing,
        archive=str(_zip(folder, files, run)) if archive else None,
    )


def _graph(run):
    """(the Graph of a run, what is missing, the number of verdicts)."""
    size = run.size
    rows = read_verdicts(size)
    inputs = size.folder / "inputs.yaml"
    said = [read_parameters(size.folder / "params.yaml"), read_yaml(size.folder / "dvc.lock", "gone")]
    said += [read_yaml(inputs, "gone")] if inputs.is_file() else []
    said += [stage.fingerprint for stage in run.stages]
    discretion = Discretion.of(run.root, said)
    graph = Graph()
    files = Files(run, graph, discretion)
    environments = Environments(run, graph, files)
    found = raw_data.data_sets(run)
    data = {path: raw_data.data_set(run, graph, discretion, row) for path, row in sorted(found.items())}
    workflow = Workflow(run, graph, files, environments, discretion).add(data)
    for name in ("dvc.lock", "params.yaml", "inputs.yaml", "report/verdicts.json"):
        files.hold(run.in_project(name))
    for name in [*BESIDE, *sorted(path.name for path in run.root.glob("Dockerfile.*"))]:
        files.hold(name)
    verdicts = Verdicts(run, graph, files, discretion)
    judged = verdicts.add(rows)
    missing = [f"stage {name} has not run" for name in run.not_run]
    missing += [] if rows else [f"no verdicts: run `encore verify {size.folder}` first"]
    missing += _without_fingerprint(run) + environments.missing + files.problems + verdicts.problems
    _describe(run, graph, workflow, judged, missing)
    return graph, missing, len(judged)


def _without_fingerprint(run):
    return [
        f"{stage.name}: its fingerprint is not here, so nothing is known of its environment"
        for stage in run.stages
        if not stage.fingerprint and any("/fingerprints/" in f"/{one.path}" for one in stage.wrote)
    ]


def _describe(run, graph, workflow, judged, missing):
    """Fill in the root of the crate."""
    for identity, (name, version) in PROFILES.items():
        graph.add(identity, "CreativeWork", name=name, version=version)
    graph.add(
        LICENCE,
        "CreativeWork",
        name="MIT License",
        description="code, records and measurements; raw data are not in the crate, each has its own licence",
        url=ref(LICENCE),
    )
    root = graph.root
    root["name"] = f"Encore: run of {run.prefix or 'the published size'}"
    readme = README.format(
        name=root["name"], missing="".join(f"- {line}\n" for line in missing) or "nothing\n"
    )
    graph.add_file("README.md", readme.encode("utf-8"), encodingFormat="text/markdown", about=ref("./"))
    text = f"{len(run.stages)} stages and {len(judged)} verdicts, each of which leads back to the raw data."
    root["description"] = " ".join([text, *(f"Missing: {line}." for line in shortened(missing))])
    root["datePublished"] = run.times[1] or _changed(run.size.folder / "dvc.lock")
    root["license"] = ref(LICENCE)
    root["conformsTo"] = refs(PROFILES)
    root["mainEntity"] = ref(workflow)
    graph.extend("./", "mentions", judged)
    graph.crate.metadata["conformsTo"] = refs(
        ["https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]
    )


def shortened(lines, most=12):
    """The first lines, and how many more there are; README.md of a crate has them all."""
    rest = len(lines) - most
    return [*lines[:most], f"{rest} more, see README.md"] if rest > 1 else lines


def _changed(path):
    """When a file was last written, for a run whose fingerprints are all gone."""
    return datetime.datetime.fromtimestamp(int(path.stat().st_mtime), datetime.timezone.utc).isoformat()


def _zip(folder, files, run):
    """The crate in one file: equal bytes for equal crates."""
    ended = run.times[1] or _changed(run.size.folder / "dvc.lock")
    date = datetime.datetime.fromisoformat(ended).timetuple()[:6]
    path = folder.with_name(f"{folder.name}.zip")
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in files:
            entry = zipfile.ZipInfo(one.relative_to(folder).as_posix(), date)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, one.read_bytes())
    return path
