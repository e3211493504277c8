"""The environments that the stages ran in: what is stated of each, and what the stages recorded."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from checks.environment import LOCAL
from checks.fingerprint_file import read_fingerprint
from checks.report.ingredients import Missing
from checks.size import PROJECT
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

NONE = "none"
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml"}
"""Name in a fingerprint -> name in a lock, where they differ."""
AS_STATED, DEVIATES, NOT_STATED = "as stated", "deviates", "not stated"
NOTHING = {"none", "cpu"}
"""What a stage without a GPU records of its parts."""
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One property: what is stated, what was found (value -> stages with it), and how the two stand."""

    what: str
    stated: str
    found: dict[str, int]
    state: str


@dataclass(frozen=True)
class Checked:
    """One environment: its name in the fingerprints, the definition that it is held against, how many stages
    ran in it, the rows, and the deviations that the stages themselves recorded (text -> stages)."""

    name: str
    definition: str
    stages: int
    rows: list[Row]
    recorded: dict[str, int]

    @property
    def deviating(self):
        return sum(row.state == DEVIATES for row in self.rows) + len(self.recorded)


def environments_checked(folder, locks=PROJECT / "locks"):
    """A Checked for each environment that fingerprints of a size name; raises Missing where there is none.

    Stages that ran outside of any environment are held against `cpu`, which runs without an image.
    """
    records = [read_fingerprint(path) for path in sorted((folder / "fingerprints").rglob("*.json"))]
    if not records:
        raise Missing("fingerprints/ is empty: no stage has run in this folder")
    definitions = read_yaml(locks / "environments.yaml", "no such file: it says what each environment is")
    names = sorted({record.get("environment") or NONE for record in records})
    checked = []
    for name in names:
        definition = LOCAL if name == NONE else name
        if definition not in definitions:
            raise Refusal(f"{folder}/fingerprints: environment: {name!r} is not in {locks}/environments.yaml")
        ran = [record for record in records if (record.get("environment") or NONE) == name]
        pins = _pins(locks / definitions[definition]["lock"])
        rows = _rows(definitions[definition], pins, ran)
        checked.append(Checked(name, definition, len(ran), rows, _recorded(ran)))
    return checked


def _rows(stated, pins, records):
    rows = [
        _row("Python", stated.get("python"), _values(records, "python"), _begins),
        _row("CUDA", stated.get("cuda"), _values(records, "cuda"), _begins),
        _row("cuDNN", stated.get("cudnn"), _cudnn(_values(records, "cudnn")), _begins),
        _row("GPU", stated.get("gpu"), _values(records, "device"), _names),
        _row("driver", stated.get("driver"), _values(records, "driver"), _at_least),
    ]
    libraries = sorted({name for record in records for name in record.get("libraries") or {}}, key=str.lower)
    for name in libraries:
        found = Counter(
            str(record["libraries"][name]) for record in records if name in (record.get("libraries") or {})
        )
        pin = pins.get(PACKAGES.get(name, name).lower())
        rows.append(_row(name, pin, found, lambda value, versions: value.partition("+")[0] in versions))
    return [row for row in rows if row is not None]


def _row(what, stated, found, agrees):
    """A Row; None where nothing was found or asked for. `agrees`: (value, [stated values]) -> bool."""
    if not found or (stated is None and set(found) <= NOTHING):
        return None
    if stated is None:
        return Row(what, "any", dict(found), NOT_STATED)
    wanted = [str(value) for value in (stated if isinstance(stated, list) else [stated])]
    state = AS_STATED if all(agrees(value, wanted) for value in found) else DEVIATES
    return Row(what, " or ".join(wanted), dict(found), state)


def _values(records, key):
    """{value: stages} of one key; stages that did not load what would know it are passed over."""
    return Counter(str(record[key]) for record in records if record.get(key) not in (None, "", "not used"))


def _cudnn(found):
    """The numbers that torch gives (7605, 8700, 90100) as versions."""
    return Counter({_version_of(value): count for value, count in found.items()})


def _version_of(value):
    if not value.isdigit():
        return value
    number = int(value)
    major = 10000 if number >= 90000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def _begins(value, wanted):
    return any(value == text or value.startswith(text + ".") for text in wanted)


def _names(value, wanted):
    return any(text.lower() in value.lower() for text in wanted)


def _at_least(value, wanted):
    def numbers(text):
        return [int(part) for part in re.findall(r"\d+", text)]

    return numbers(value) >= numbers(wanted[0])


def _recorded(records):
    texts = Counter()
    for record in records:
        texts.update(record.get("environment_deviations") or [])
        if record.get("hardware_objection"):
            texts[f"hardware accepted: {record['hardware_objection']}"] += 1
    return dict(texts)


def _pins(path):
    """{package: its versions} of a lock, several where it pins one for each Python."""
    if not path.is_file():
        raise Refusal(f"{path}: no such lock: it says which libraries the environment has")
    pins = {}
    for name, version in PIN.findall(path.read_text(encoding="utf-8")):
        pins.setdefault(name.lower(), []).append(version)
    return pins
