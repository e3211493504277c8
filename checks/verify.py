"""`encore verify`: every claim of a size becomes a verdict, and the exit status says whether they hold."""

from __future__ import annotations

import dataclasses
import json

from rich import box
from rich.console import Console
from rich.table import Table

from checks.claims import read_all_claims
from checks.verdict import BLOCKED, DEVIATES, NOT_ATTEMPTED, judge
from encore.runtime.atomic import write_json
from encore.runtime.refusal import Refusal

COLOURS = {DEVIATES: "bold red", BLOCKED: "yellow", NOT_ATTEMPTED: "yellow"}


def verify(size, machine=None):
    """The verdicts on all claims of the size's tier, in the order of the claim files."""
    claims = [claim for claim in read_all_claims(size.claims) if claim.tier == size.tier]
    if not claims:
        raise Refusal(f"{size.claims}: no claim of tier {size.tier} for {size.folder}")
    return [judge(claim, size, machine) for claim in claims]


def verdicts_path(size):
    return size.folder / "report" / "verdicts.json"


def write_verdicts(size, verdicts):
    """Write `<size>/report/verdicts.json` and return its path."""
    path = verdicts_path(size)
    write_json(path, [dataclasses.asdict(verdict) for verdict in verdicts])
    return path


def failures(verdicts):
    """The gating claims that deviate or have no value: what makes the exit status 1."""
    return [verdict for verdict in verdicts if verdict.gating and not verdict.passes]


def tolerance_text(tolerance, expected):
    """The values that agree, as one short text."""
    kind = tolerance["kind"]
    if kind == "exact":
        return "exact"
    if kind == "absolute":
        return f"± {number_text(tolerance['value'])}"
    if kind == "at_least":
        return f"≥ {number_text(tolerance['low'])}"
    return "–" if expected is None else f"{number_text(tolerance['low'])} to {number_text(tolerance['high'])}"


def number_text(value):
    """A number as people read it: whole ones with thousands separators, others with 4 digits, – for none."""
    if value is None:
        return "–"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4f}"


def show(verdicts, path, as_json=False):
    """Print the verdict table and the path of the file, or the verdicts as JSON."""
    if as_json:
        print(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=1, ensure_ascii=False))
        return
    table = Table(title=f"Verdicts ({verdicts[0].tier} size)", title_justify="left", box=box.SIMPLE_HEAD)
    for name, justify in (
        ("claim", "left"),
        ("value", "right"),
        ("expected", "right"),
        ("agrees within", "right"),
        ("verdict", "left"),
    ):
        table.add_column(name, justify=justify)
    for row in verdicts:
        table.add_row(
            row.id if row.gating else f"{row.id} *",
            number_text(row.value),
            number_text(row.expected),
            tolerance_text(row.tolerance, row.expected),
            f"[{COLOURS.get(row.verdict, 'green')}]{row.verdict}[/]",
        )
    console = Console()
    console.print(table)
    for line in _footnotes(verdicts):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(str(path), soft_wrap=True, highlight=False)


def _footnotes(verdicts):
    """Where the values come from or why there is none, and what decides the exit status."""
    reasons = {}
    for row in verdicts:
        reasons.setdefault("; ".join(filter(None, (row.origin, row.detail))), []).append(row.id)
    for reason, ids in reasons.items():
        yield f"{reason}: {'all claims' if len(ids) == len(verdicts) else ', '.join(ids)}"
    if not all(row.gating for row in verdicts):
        yield "* informative: does not decide the exit status"
    failed = [row.id for row in failures(verdicts)]
    yield (
        f"{len(failed)} gating claims deviate or are missing: {', '.join(failed)}"
        if failed
        else "every gating claim holds"
    )
