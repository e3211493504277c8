"""From a verdict back to the bytes: its metric, the stage that wrote it, what that read, to the raw data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from checks.provenance.reading import Crate
from checks.runs.out_digest import Digests
from encore.runtime.atomic import file_digest
from encore.runtime.refusal import Refusal

HELD, OUTSIDE, CHANGED, SAID = "held", "outside", "changed", "said"


@dataclass(frozen=True)
class Step:
    """One entity on the way: `kind` verdict, claim, metric, stage, code, file, parameters, environment or raw
    data; `state` held (the crate has the bytes), outside (it has their md5), changed (they are others now) or
    said (not a file). `again`: told in full further up."""

    depth: int
    kind: str
    id: str
    name: str
    md5: str | None = None
    sha256: str | None = None
    state: str = SAID
    text: str = ""
    again: bool = False


class Trace:
    """The way from one verdict: `steps` in order, and what is wrong with the bytes along it (`problems`)."""

    def __init__(self, crate, claim, root=None):
        """`root`: the project's folder, where files outside the crate are hashed too; None: they are not."""
        self._crate, self._root = crate, root
        self._makers = _makers(crate)
        self._seen, self.steps, self.problems = set(), [], []
        verdict = f"#verdict/{claim}"
        if verdict not in crate.entities:
            known = [name[len("#verdict/") :] for name in crate.entities if name.startswith("#verdict/")]
            raise Refusal(f"{crate.folder}: no verdict on {claim} in this crate; there are {_listing(known)}")
        self._say(0, "verdict", verdict, crate.first(verdict, "reviewBody"))
        self._say(1, "claim", crate.first(verdict, "itemReviewed"))
        value = crate.first(verdict, "about")
        self._say(1, "value", value, str(crate.first(value, "value")))
        for file in crate.get(verdict, "isBasedOn"):
            self._file(1, "evidence" if file.endswith(".npz") else "metric", file)

    @property
    def raw_data(self):
        """The ids of the raw data sets that the verdict rests on."""
        return sorted({step.id for step in self.steps if step.kind == "raw data"})

    def _say(self, depth, kind, identity, text=""):
        if identity is not None:
            name = self._crate.first(identity, "name") or identity
            self.steps.append(Step(depth, kind, identity, name, text=text or ""))

    def _file(self, depth, kind, identity):
        """Tell a file, then the raw data that it is the record of, or the stage that wrote it."""
        again = identity in self._seen
        crate = self._crate
        self._seen.add(identity)
        md5, sha256 = crate.first(identity, "md5"), crate.first(identity, "sha256")
        state = self._state(identity, md5)
        name = crate.first(identity, "name")
        self.steps.append(Step(depth, kind, identity, name, md5, sha256, state, again=again))
        if again:
            return
        for about in crate.get(identity, "about"):
            if about.startswith("#data/"):
                self._raw_data(depth + 1, about)
        for action in self._makers.get(name, ()):
            self._compare(identity, name, action)
            self._stage(depth + 1, action)

    def _compare(self, identity, name, action):
        """Note a file that was read with other bytes than its stage has written since."""
        wrote = [one for one in self._crate.get(action, "result") if self._crate.first(one, "name") == name]
        if wrote and identity not in wrote:
            self._noted(f"{name}: written again since a later stage read it: run the stages again", "")

    def _stage(self, depth, action):
        crate, again = self._crate, action in self._seen
        self._seen.add(action)
        tool = crate.first(action, "instrument")
        text = f"{crate.first(action, 'endTime') or 'no time noted'}, {crate.first(tool, 'softwareVersion')}"
        name = crate.first(tool, "name")
        self.steps.append(Step(depth, "stage", action, name, text=text, again=again))
        if again:
            return
        for environment in crate.get(tool, "softwareRequirements"):
            self._say(depth + 1, "environment", environment, crate.first(environment, "softwareVersion"))
            for sbom in crate.get(environment, "subjectOf"):
                self._file(depth + 2, "SBOM", sbom)
        for identity in crate.get(action, "object"):
            if crate.is_a(identity, "PropertyValue"):
                self._say(depth + 1, "parameters", identity, f"{len(crate.get(identity, 'value'))} values")
            elif not identity.startswith("#data/"):  # each is told at the record that is read of it
                self._file(depth + 1, "code" if _is_code(identity) else "file", identity)

    def _raw_data(self, depth, identity):
        crate = self._crate
        text = f"{crate.first(identity, 'description')}; licence: {crate.first(identity, 'license')}"
        digest = crate.first(identity, "sha256")
        name = crate.first(identity, "name")
        again = identity in self._seen
        self._seen.add(identity)
        state = self._told(identity) or self._outside(identity, digest, self._sha256)
        self.steps.append(Step(depth, "raw data", identity, name, None, digest, state, text, again))

    def _state(self, identity, md5):
        told = self._told(identity)
        if told is not None:
            return told
        if self._crate.holds(identity):
            return self._noted(self._crate.problem(identity), HELD)
        return self._outside(identity, md5, self._md5)

    def _outside(self, identity, digest, measure):
        """The state of what is not in the crate: hashed by `measure` where the project's folder is known."""
        if self._root is None:
            return OUTSIDE
        place = self._crate.first(identity, "alternateName")
        path = place.partition("#")[0]
        if not (self._root / path).exists():
            return self._noted(f"{place}: not here", OUTSIDE)
        if digest is None or measure(path) == digest:
            return OUTSIDE
        return self._noted(f"{place}: not the bytes that the run recorded: its digest differs", OUTSIDE)

    def _md5(self, path):
        return Digests(self._root, limit=math.inf).of(path).md5

    def _sha256(self, path):
        return file_digest(self._root / path)

    def _told(self, identity):
        return next((step.state for step in self.steps if step.id == identity), None)

    def _noted(self, problem, state):
        if problem is None:
            return state
        if problem not in self.problems:
            self.problems.append(problem)
        return CHANGED


def trace(crate, claim, root=None):
    """The Trace of the verdict on `claim` in a crate (a Crate or its folder); Refusal where it has none."""
    return Trace(crate if isinstance(crate, Crate) else Crate(crate), claim, root)


def lines(found):
    """A Trace as text: the code of a stage in one line, what was told further up in one line."""
    count = 0
    for place, step in enumerate(found.steps):
        if step.kind == "code" and step.state == HELD:
            count += 1
            following = found.steps[place + 1] if place + 1 < len(found.steps) else None
            if following is None or following.kind != "code" or following.state != HELD:
                yield f"{'  ' * step.depth}code: {count} files, held"
                count = 0
            continue
        yield _line(step)


def _line(step):
    head = f"{'  ' * step.depth}{step.kind}: {step.name}"
    if step.again:
        return f"{head} (as above)"
    digest = f"sha256 {step.sha256}" if step.sha256 else f"md5 {step.md5}" if step.md5 else ""
    state = "" if step.state == SAID else step.state
    return ", ".join(filter(None, (head, state, digest, step.text)))


@lru_cache(maxsize=1)  # the same for every verdict of a crate
def _makers(crate):
    """{name of a file or folder: the runs of the stages that wrote it, its folder, or something in it}."""
    wrote = {}
    for action in crate.entities:
        if action.startswith("#run/"):
            for identity in crate.get(action, "result"):
                wrote.setdefault(crate.first(identity, "name"), []).append(action)
    found = {}
    for identity in crate.entities:
        if crate.is_a(identity, "File") or crate.is_a(identity, "Dataset"):
            name = crate.first(identity, "name")
            actions = [
                action
                for other, makers in wrote.items()
                for action in makers
                if _meet(str(name), other) and action.startswith("#run/")
            ]
            if actions:
                found[name] = list(dict.fromkeys(actions))
    return found


def _meet(one, other):
    """Whether one path is the other, or a folder above or below it."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _is_code(identity):
    return identity.endswith(".py") or identity.startswith(("bin/", "locks/", "Dockerfile"))


def _listing(names):
    shown = ", ".join(sorted(names)[:8]) or "none"
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
