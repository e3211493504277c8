"""`encore report`: one self-contained page from the files of a size."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from checks.claims import read_all_claims
from checks.report.copies import copy_strips
from checks.report.curves import distillation_curves, precision_recall, training_curves
from checks.report.drip_stages import drip_stages
from checks.report.environments import RUN_KEYS, environments
from checks.report.ingredients import Missing, need
from checks.report.ladder import ladder
from checks.report.matches import gallery
from checks.report.person_rankings import person_rankings, short_name
from checks.report.photographs import photographs, splits
from checks.report.students import students
from checks.report.synthesis import picture_sheet
from checks.verdict import BETTER, BLOCKED, DEVIATES, NOT_ATTEMPTED, REPRODUCED, VERIFIED
from checks.verify import number_text, tolerance_text
from encore.runtime.atomic import replacing
from encore.runtime.refusal import Refusal

HERE = Path(__file__).parent
STATES = {
    REPRODUCED: "good",
    BETTER: "good",
    VERIFIED: "good",
    DEVIATES: "bad",
    BLOCKED: "open",
    NOT_ATTEMPTED: "open",
}


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
        number=number_text, state=STATES.__getitem__, score=lambda score: f"{score:.3f}".replace("-", "−")
    )
    environment.filters["percent"] = lambda value: "–" if value is None else f"{value:.2f}"
    environment.filters["short_name"] = short_name
    environment.filters["loss"] = lambda value: f"{value:.2f}"
    environment.filters["unbroken"] = lambda command: command.replace(" ", "\N{NO-BREAK SPACE}").replace(
        "\N{NO-BREAK SPACE}&&\N{NO-BREAK SPACE}", " && "
    )
    environment.globals.update(
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        tolerance_text=tolerance_text,
        run_keys=RUN_KEYS,
    )
    return environment


def write_report(size):
    """Write `<size>/report/index.html` and return its path; a missing ingredient becomes a note in it."""
    path = size.folder / "report" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    page = templates().get_template("page.html.j2").render(**ingredients(size))
    with replacing(path, "w") as file:
        file.write(page)
    return path


def ingredients(size):
    """Everything the page shows; each section is its value, or the text of a note in `notes`."""
    folder, notes, found = size.folder, {}, {}
    sections = {
        "verdicts": lambda: read_verdicts(folder),
        "training": lambda: list(map(Markup, training_curves(folder))),
        "distillation": lambda: list(map(Markup, distillation_curves(folder))),
        "precision_recall": lambda: Markup(precision_recall(folder)),
        "ladder": lambda: Markup(ladder(folder)),
        "drip": lambda: drip_stages(folder),
        "students": lambda: students(folder),
        "synthesis": lambda: picture_sheet(folder),
        "copies": lambda: copy_strips(folder),
        "matches": lambda: gallery(folder),
        "persons": lambda: person_rankings(folder),
        "photographs": lambda: photographs(folder),
        "environments": lambda: environments(folder),
    }
    for name, read in sections.items():
        try:
            found[name] = read()
        except Missing as missing:
            found[name], notes[name] = None, str(missing)
    return {
        **found,
        "notes": notes,
        "tier": size.tier,
        "name": size.folder.resolve().name,
        "paper": [claim for claim in read_all_claims(size.claims) if claim.tier == "paper"],
        "splits": splits(found["photographs"] or []),
        "summary": summary(found["verdicts"]),
    }


def read_verdicts(folder):
    """The rows of report/verdicts.json."""
    path = need(folder, "report/verdicts.json")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run `encore verify` again") from None
    if not isinstance(rows, list) or any(row.get("verdict") not in STATES for row in rows):
        raise Refusal(f"{path}: expected a list of verdicts: run `encore verify` again")
    return rows


def summary(verdicts):
    """(state, sentence): how many gating claims hold."""
    if verdicts is None:
        return "open", "No verdicts yet: run encore verify first."
    gating = [row for row in verdicts if row["gating"]]
    held = sum(STATES[row["verdict"]] == "good" for row in gating)
    bad = sum(STATES[row["verdict"]] == "bad" for row in gating)
    sentence = f"{held} of {len(gating)} gating claims hold"
    if bad:
        sentence += f", {bad} deviate" + ("s" if bad == 1 else "")
    if len(gating) - held - bad:
        sentence += f", {len(gating) - held - bad} could not be measured"
    return "bad" if bad else "good" if held == len(gating) else "open", sentence + "."
