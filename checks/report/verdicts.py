"""The verdicts as the page shows them: how each one stands, how many hold, and what they are filtered by."""

from __future__ import annotations

from checks.report.ingredients import need
from checks.verdict import BETTER, DEVIATES, NOT_ATTEMPTED, REPRODUCED, VERIFIED
from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal

STATES = {
    REPRODUCED: "good",
    BETTER: "good",
    VERIFIED: "good",
    DEVIATES: "bad",
    NOT_ATTEMPTED: "open",
}
BLOCKED = "blocked ("


def state_of(verdict):
    """`good`, `bad` or `open`, the colour of a verdict; None for a text that is no verdict."""
    if isinstance(verdict, str) and verdict.startswith(BLOCKED):
        return "open"
    return STATES.get(verdict)


def read_verdicts(folder):
    """The rows of report/verdicts.json."""
    path = need(folder, "report/verdicts.json")
    try:
        rows = read_json_file(path)
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run `encore verify` again") from None
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and state_of(row.get("verdict")) for row in rows
    ):
        raise Refusal(f"{path}: expected a list of verdicts: run `encore verify` again")
    return rows


def summary(verdicts):
    """(state, sentence): how many gating claims hold."""
    if verdicts is None:
        return "open", "No verdicts yet: run encore verify first."
    gating = [row for row in verdicts if row["gating"]]
    held = sum(state_of(row["verdict"]) == "good" for row in gating)
    bad = sum(state_of(row["verdict"]) == "bad" for row in gating)
    sentence = f"{held} of {len(gating)} gating claims hold"
    if bad:
        sentence += f", {bad} deviate" + ("s" if bad == 1 else "")
    if len(gating) - held - bad:
        sentence += f", {len(gating) - held - bad} could not be measured"
    return "bad" if bad else "good" if held == len(gating) else "open", sentence + "."


def counted(verdicts):
    """{verdict: how many rows have it}, the most frequent first; one that no gating claim has says so."""
    found = [_named(row, verdicts) for row in verdicts or []]
    names = sorted(set(found), key=lambda name: (-found.count(name), name))
    return {name: found.count(name) for name in names}


def _named(row, verdicts):
    verdict = row["verdict"]
    gating = any(other["gating"] for other in verdicts if other["verdict"] == verdict)
    return (verdict, "" if gating else "informative")


def in_order(verdicts, systems):
    """The rows in the order of `systems`, those of others last, else as they are."""
    places = {system: place for place, system in enumerate(systems)}
    return sorted(verdicts, key=lambda row: places.get(row["system"], len(places)))


def filters(verdicts):
    """(systems, verdicts) to choose from, each in the order of the rows."""
    return (
        list(dict.fromkeys(row["system"] for row in verdicts or [])),
        list(dict.fromkeys(row["verdict"] for row in verdicts or [])),
    )
