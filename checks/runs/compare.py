"""`encore compare A B`: two runs beside each other, stage by stage, and the first that differs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from checks.runs.cause import Cause, first_difference
from checks.runs.difference import listing, not_comparable
from checks.runs.dvc_lock import in_order
from checks.runs.run_record import RunRecord
from checks.runs.stage_difference import stage_difference

SAME, DIFFERS, ONLY_FIRST, ONLY_SECOND = "same", "differs", "only in the first", "only in the second"


@dataclass(frozen=True)
class Row:
    """One stage of two runs: its state, what came out otherwise, what went in otherwise by kind, and outputs
    that cannot be compared any more."""

    stage: str
    state: str
    outputs: list[str]
    inputs: dict[str, list[str]]
    not_compared: list[str]


@dataclass(frozen=True)
class Comparison:
    """The rows of all stages, and the Cause of the first difference (None: the runs are the same)."""

    first: Cause | None
    rows: list[Row]

    @property
    def same(self):
        return self.first is None

    @property
    def sentence(self):
        """The result in one sentence."""
        if self.same:
            return f"the runs are the same: {len(self.rows)} stages"
        count = sum(row.state != SAME for row in self.rows)
        return f"first of {count} differences, by {self.first.kind}: {self.first.text}"

    def as_json(self):
        """The comparison as JSON: {same, first, stages}."""
        return {
            "same": self.same,
            "first": self.first and dataclasses.asdict(self.first),
            "stages": [dataclasses.asdict(row) for row in self.rows],
        }


def compare(first, second):
    """The Comparison of two runs, each a size folder or a record file; raises Refusal for anything else."""
    one, other = RunRecord.of(first), RunRecord.of(second)
    names = in_order({**other.stages, **one.stages})
    return Comparison(first_difference(one, other), [_row(one, other, name) for name in names])


def table(comparison):
    """The rows as texts: {stage, state, what came out, what went in}."""
    return [
        {
            "stage": row.stage,
            "outputs": row.state,
            "what differs": "; ".join(row.outputs[:2]) + (" …" if len(row.outputs) > 2 else ""),
            "what went in": "; ".join(_inputs(row)),
        }
        for row in comparison.rows
    ]


def _inputs(row):
    """What went in otherwise, in full where it matters and as counts where the outputs are the same."""
    for kind, texts in row.inputs.items():
        yield f"{kind}: {listing(texts, 2)}" if row.state == DIFFERS else f"{kind} ({len(texts)})"


def remarks(comparison):
    """What could not be compared, a line each."""
    paths = [path for row in comparison.rows for path in row.not_compared]
    if paths:
        yield (
            f"not compared, since only the digest over weights and logs together is known: {listing(paths)}"
        )


def _row(one, other, name):
    if name not in one.stages or name not in other.stages:
        return Row(name, ONLY_FIRST if name in one.stages else ONLY_SECOND, [], {}, [])
    found = stage_difference(one, other, name)
    return Row(
        name,
        DIFFERS if found.outputs else SAME,
        found.outputs,
        found.causes,
        not_comparable(one.stages[name], other.stages[name]),
    )
