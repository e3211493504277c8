"""`encore audit`: known vulnerabilities of every lock, against the list of those that are accepted."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from checks.locks import ALONE, ENVIRONMENTS, lock
from checks.yaml_file import read_yaml
from encore.runtime.refusal import Refusal

ACCEPTED = Path("locks/accepted_vulnerabilities.yaml")
SERVICES = ("osv", "pypi")
SECONDS = 1800


@dataclass(frozen=True)
class Finding:
    """One known vulnerability of one package of one lock. names: its id and aliases."""

    lock: str
    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self):
        fixed = f", fixed in {', '.join(self.fixed_in)}" if self.fixed_in else ", no release fixes it"
        return f"locks/{self.lock}.txt: {self.package} {self.version}: {', '.join(self.names)}{fixed}"


@dataclass(frozen=True)
class Acceptance:
    """A row of the list: what is accepted where, why, what guards it, and until when it holds."""

    package: str
    versions: tuple[str, ...]
    locks: tuple[str, ...]
    """Names of locks in which it is accepted."""
    ids: tuple[str, ...]
    why: str
    guard: str
    review: datetime.date
    confirmed: bool
    """Whether an audit has found it; false: it is known from the published advisory alone."""

    def covers(self, finding):
        """The ids of this row that the finding has; none where package, version or lock are others."""
        here = (finding.package, finding.version, finding.lock)
        if here[0] != self.package or here[1] not in self.versions or here[2] not in self.locks:
            return set()
        return set(self.ids) & set(finding.names)


@dataclass(frozen=True)
class Audit:
    """What was found, what of it is accepted, and what is wrong."""

    packages: int
    accepted: list[Finding]
    problems: list[str]


def audit(root, names=(), service=SERVICES[0], address=None, today=None):
    """Audit the locks of these names (none: all) -> Audit.

    service: osv or pypi; address: of another server that answers as osv does. Raises Refusal for an unknown
    lock, for a list that is not well-formed, and where the service does not answer: no answer is no pass.
    """
    known = (*ENVIRONMENTS, *ALONE)
    for name in names:
        if name not in known:
            raise Refusal(f"{name}: no lock of that name; there are {', '.join(known)}")
    rows = read_accepted(Path(root) / ACCEPTED, known)
    chosen = list(names or known)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: _ask(root, name, service, address), chosen))
    findings = [one for name, answer in zip(chosen, answers) for one in _findings(name, answer)]
    problems = [one for name, answer in zip(chosen, answers) for one in _not_audited(name, answer)]
    accepted = [finding for finding in findings if any(row.covers(finding) for row in rows)]
    problems += [f"{one}: not accepted" for one in findings if one not in accepted]
    problems += _overdue(rows, today or datetime.date.today()) + _stale(rows, chosen, findings)
    return Audit(sum(len(answer) for answer in answers), accepted, problems)


def read_accepted(path, known):
    """The rows of the list; raises Refusal where one is not well-formed."""
    rows = read_yaml(path, "the list of accepted vulnerabilities")
    if not isinstance(rows, list):
        raise Refusal(f"{path}: a list of rows is needed")
    return [_row(path, place, row, known) for place, row in enumerate(rows, 1)]


def _row(path, place, row, known):
    at = f"{path}, row {place}"
    wanted = {field.name for field in fields(Acceptance)}
    if not isinstance(row, dict) or set(row) != wanted:
        raise Refusal(f"{at}: give exactly {', '.join(sorted(wanted))}")
    for name in ("versions", "locks", "ids"):
        if not isinstance(row[name], list) or not row[name] or not all(isinstance(x, str) for x in row[name]):
            raise Refusal(f"{at}: {name} must be a list of texts")
    for name in ("package", "why", "guard"):
        if not isinstance(row[name], str) or not row[name].strip():
            raise Refusal(f"{at}: {name} must say something")
    if type(row["review"]) is not datetime.date:
        raise Refusal(f"{at}: review must be a date, such as 2027-05-01")
    if not isinstance(row["confirmed"], bool):
        raise Refusal(f"{at}: confirmed must be true or false")
    for name in row["locks"]:
        if name not in known:
            raise Refusal(f"{at}: {name}: no lock of that name; there are {', '.join(known)}")
    return Acceptance(**{name: tuple(x) if isinstance(x, list) else x for name, x in row.items()})


def _ask(root, name, service, address):
    """What pip-audit answers for a lock: its list of packages."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock(root, name), "--require-hashes"]
    command += ["--disable-pip", "--format", "json", "--progress-spinner", "off", "--vulnerability-service"]
    command += [service, *(["--osv-url", address] if address else [])]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if "No module named pip_audit" in done.stderr:
        raise Refusal(
            "pip-audit, which asks for vulnerabilities, is missing: run `make audit`, which installs it"
        )
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = _cause(done.stderr)
        raise Refusal(
            f"locks/{name}.txt is not audited, the service {service} does not answer ({why}): "
            "try again where there is network, or name another with --service"
        ) from None


def _cause(text):
    """The last line of what pip-audit wrote; of an error of its connection what that one was caused by."""
    lines = text.strip().splitlines() or ["it said nothing"]
    _, caused_by, cause = lines[-1].rpartition("(Caused by ")
    return cause[:-1] if caused_by else cause


def _findings(name, packages):
    """A Finding for each vulnerability in an answer."""
    return [
        Finding(
            name,
            package["name"],
            package["version"],
            tuple(dict.fromkeys([one["id"], *one.get("aliases", [])])),
            tuple(one.get("fix_versions", [])),
        )
        for package in packages
        for one in package.get("vulns", [])
    ]


def _not_audited(name, packages):
    """What the service does not know is not free of vulnerabilities for that."""
    if not packages:
        return [f"locks/{name}.txt: no package of it was audited"]
    skipped = [package for package in packages if "skip_reason" in package]
    return [f"locks/{name}.txt: {one['name']} was not audited: {one['skip_reason']}" for one in skipped]


def _overdue(rows, today):
    return [
        f"{ACCEPTED}: {row.package}: to be reviewed by {row.review}: look at it again, then set a new date"
        for row in rows
        if row.review < today
    ]


def _stale(rows, chosen, findings):
    """What is accepted and no longer found, in the locks that were audited."""
    stale = []
    for row in rows:
        for name in sorted(set(row.locks) & set(chosen)):
            here = [finding for finding in findings if finding.lock == name]
            found = set().union(*(row.covers(finding) for finding in here))
            stale += [
                f"{ACCEPTED}: {row.package}: {one} is accepted for {name} and not found there: take it out"
                for one in row.ids
                if one not in found
            ]
    return stale
