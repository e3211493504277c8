"""`encore report`: one self-contained page from the files of a size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from checks.claims import read_all_claims
from checks.report.cost import paper_cost
from checks.report.environment_check import environments_checked
from checks.report.environments import RUN_KEYS, environments
from checks.report.evidence_chain import CRATE, chains
from checks.report.ingredients import Missing
from checks.report.person_rankings import short_name
from checks.report.photographs import photographs, splits
from checks.report.published_claims import published_claims
from checks.report.reliability import reliability
from checks.report.systems import SYSTEMS, SystemSection
from checks.report.verdicts import counted, filters, in_order, read_verdicts, state_of, summary
from checks.verdict_text import number_text, tolerance_text
from encore.runtime.atomic import replacing

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Report:
    """Where the page is, and what it says is missing: {part: why}."""

    path: Path
    missing: dict[str, str]


def templates():
    """The jinja environment of all pages: escaping on, an undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number_text,
        state=state_of,
        score=lambda score: f"{score:.3f}".replace("-", "−"),
        percent=lambda value: "–" if value is None else f"{value:.2f}",
        loss=lambda value: f"{value:.2f}",
        hours=hours_text,
        seconds=seconds_text,
        short_name=short_name,
        anchor=lambda name: re.sub(r"[^A-Za-z0-9_]", "-", name),
        agreement=agreement_text,
        ticked=ticked,
        unbroken=lambda command: command.replace(" ", "\N{NO-BREAK SPACE}").replace(
            "\N{NO-BREAK SPACE}&&\N{NO-BREAK SPACE}", " && "
        ),
    )
    environment.globals.update(
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "filters.js").read_text(encoding="utf-8")),
        tolerance_text=tolerance_text,
        run_keys=RUN_KEYS,
    )
    return environment


def hours_text(value):
    """Hours (or gigabytes) as people read them: whole ones from 10 up, one digit below, – for none."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return "under 0.1" if value < 0.05 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def seconds_text(value):
    """A duration in seconds as `1.5 s`, `3 min 4 s` or `2 h 5 min`; – for none."""
    if value is None:
        return "–"
    if value < 59.95:
        return f"{value:.1f}\N{NO-BREAK SPACE}s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def agreement_text(tolerance, expected):
    """A tolerance as the end of "… is"."""
    if tolerance == "exact":
        return number_text(expected)
    return f"{number_text(expected)} {tolerance}" if tolerance.startswith("±") else tolerance


def ticked(text):
    """A text as HTML, with what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def write_report(size):
    """Write `<size>/report/index.html` and return its path; a missing ingredient becomes a note in it."""
    return make_report(size).path


def make_report(size):
    """Write `<size>/report/index.html`; the Report of it."""
    path = size.folder / "report" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = ingredients(size)
    page = templates().get_template("page.html.j2").render(**found)
    with replacing(path, "w") as file:
        file.write(page)
    return Report(path, found["notes"])


def ingredients(size):
    """Everything the page shows; each part is its value, or None and a text in `notes` that says why."""
    folder, claims = size.folder, read_all_claims(size.claims)
    order = [system.name for system in SYSTEMS]
    notes, found = {}, {}
    readers = {
        "verdicts": lambda: in_order(read_verdicts(folder), order),
        "published": lambda: published_claims(claims, size.claims, order),
        "cost": lambda: paper_cost(claims, size.claims.resolve().parent),
        "reliability": lambda: reliability(size.claims.resolve().parent),
        "checked": lambda: environments_checked(folder),
        "environments": lambda: environments(folder),
        "photographs": lambda: photographs(folder),
    }
    for system in SYSTEMS:
        readers.update({name: _of(read, folder) for name, read in system.parts.items()})
    for name, read in readers.items():
        try:
            found[name] = read()
        except Missing as missing:
            found[name], notes[name] = None, str(missing)
    verdicts = found["verdicts"]
    return {
        **found,
        "notes": notes,
        "tier": size.tier,
        "name": size.folder.resolve().name,
        "systems": [SystemSection.of(system, verdicts, notes) for system in SYSTEMS],
        "titles": {system.name: system.title for system in SYSTEMS},
        "chains": chains(folder, verdicts or [], {claim.id: claim for claim in claims}),
        "crate": CRATE if (folder / "report" / CRATE).is_file() else "",
        "filters": filters(verdicts),
        "counts": counted(verdicts),
        "splits": splits(found["photographs"] or []),
        "summary": summary(verdicts),
    }


def _of(read, folder):
    return lambda: read(folder)
