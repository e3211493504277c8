"""The verdicts as JUnit XML, which continuous integration shows test by test."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from checks.verdict import DEVIATES
from checks.verdict_text import cause_text, measured_text, number_text, tolerance_text
from encore.runtime.atomic import replacing

UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not."""


def write_junit(path, verdicts, failed):
    """Write one testcase a claim. Those `failed`, which make the exit status 1, are failures where they
    deviate or have a cause, else errors (missing or blocked); informative ones that nothing was judged of are
    skipped."""
    ids = {row.id for row in failed}
    suites = ElementTree.Element("testsuites", name="encore verify")
    for system in dict.fromkeys(row.system for row in verdicts):
        _suite(suites, system, [row for row in verdicts if row.system == system], ids)
    ElementTree.indent(suites)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "wb") as file:
        ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def _suite(suites, system, rows, failed):
    outcomes = [_outcome(row, failed) for row in rows]
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name=_clean(system),
        tests=str(len(rows)),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped")),
    )
    for row, outcome in zip(rows, outcomes, strict=True):
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(system), name=_clean(row.id))
        if outcome == "skipped":
            ElementTree.SubElement(case, outcome, message=_clean(f"{row.verdict}: {row.detail}"))
        elif outcome is not None:
            told = _found(row) if outcome == "failure" else f"{row.verdict}: {row.detail}"
            ElementTree.SubElement(case, outcome, type=row.verdict, message=_clean(told))
        told = [row.title, f"{row.verdict}: {_found(row)}", row.origin, row.detail, f"source: {row.source}"]
        told += [f"reason of the tolerance: {row.reason}", "" if row.gating else "informative"]
        ElementTree.SubElement(case, "system-out").text = _clean("\n".join(filter(None, told)))


def _outcome(row, failed):
    """failure | error | skipped of a Verdict, None for a testcase that passes or informs."""
    if row.id in failed:
        return "failure" if row.why or row.verdict == DEVIATES else "error"
    return None if row.passes or row.verdict == DEVIATES else "skipped"


def _found(row):
    text = (
        f"{measured_text(row)}, expected {number_text(row.expected)}, agrees within "
        f"{tolerance_text(row.tolerance, row.expected)}"
    )
    return "; ".join(filter(None, (text, cause_text(row))))


def _clean(text):
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
