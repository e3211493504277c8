"""The published claims by system: where each stands, and what it takes to settle it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from checks.claims import Claim
from checks.raw_data.inputs import Input, read_inputs
from checks.report.verdicts import state_of
from checks.size import PROJECT, Size
from checks.verdict import NOT_ATTEMPTED, judge
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal


@dataclass(frozen=True)
class Judged:
    """A published claim and how it stands: verdict, its detail and its value (None: not measured).

    `lacking`: the data sets that have not been checked here; `present`: those that have; `families`: the
    names by which `encore data --used-by` checks the lacking ones.
    """

    claim: Claim
    verdict: str
    detail: str
    value: float | None
    lacking: list[str]
    present: list[str]
    families: list[str]

    @property
    def open(self):
        """Whether it is still to be settled."""
        return state_of(self.verdict) == "open"


@dataclass(frozen=True)
class Environment:
    """An image that stages of a system run in: the devices and the driver that it is made for."""

    name: str
    gpus: list[str]
    driver: str


@dataclass(frozen=True)
class Group:
    """The published claims of one system, how many have which verdict, and the images of its stages."""

    system: str
    claims: list[Judged]
    counts: dict[str, int]
    environments: list[Environment]


@dataclass(frozen=True)
class Published:
    """`groups` by system; `inputs`: the raw data that their claims name, as far as inputs.yaml lists them."""

    groups: list[Group]
    inputs: dict[str, Input]


def published_claims(claims, folder, order=()):
    """The Published of the claims of tier paper, judged in the published size (the project's root), which
    may never have been run; the systems of `order` first."""
    root = Path(folder).resolve().parent
    size = Size.of(root, folder)
    paper = [claim for claim in claims if claim.tier == "paper"]
    known = read_inputs(root / "inputs.yaml") if (root / "inputs.yaml").is_file() else {}
    groups = []
    systems = list(dict.fromkeys(claim.system for claim in paper))
    for system in sorted(systems, key=lambda name: order.index(name) if name in order else len(order)):
        judged = [_judged(claim, size, known) for claim in paper if claim.system == system]
        found = [row.verdict for row in judged]
        counts = {verdict: found.count(verdict) for verdict in dict.fromkeys(found)}
        groups.append(Group(system, judged, counts, environments_of(system, root)))
    named = {name for claim in paper for name in claim.inputs}
    return Published(groups, {name: entry for name, entry in known.items() if name in named})


def environments_of(system, root):
    """The images that the pipeline starts a system's stages in, in the order of their stages."""
    path, locks = root / "dvc.yaml", PROJECT / "locks" / "environments.yaml"
    if not path.is_file():
        return []
    commands = rf"\$\{{python\.([\w-]+)\}} -m stages\.{re.escape(system)}\."
    names = dict.fromkeys(re.findall(commands, path.read_text(encoding="utf-8")))
    known = read_yaml(locks, "no such file: it says what each environment is made of")
    stated = [(name, known[name]) for name in names if name in known]
    return [
        Environment(name, [str(gpu) for gpu in row.get("gpu", [])], str(row.get("driver", "")))
        for name, row in stated
    ]


def _judged(claim, size, known):
    here = [name for name in claim.inputs if (size.folder / "inputs" / f"{name}.json").is_file()]
    lacking = [name for name in claim.inputs if name not in here]
    families = dict.fromkeys(known[name].used_by for name in lacking if name in known)
    try:
        row = judge(claim, size)
        stands = row.verdict, row.detail, row.value
    except Refusal as refusal:  # of a run that broke off, or a changed file: the page says so and goes on
        stands = NOT_ATTEMPTED, str(refusal), None
    return Judged(claim, *stands, lacking, here, [name for name in families if name])
