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


def write_junit(path, verdicts):
    """Write one testcase a claim: a failure where a gating one deviates, skipped where nothing was judged."""
    suites = ElementTree.Element("testsuites", name="encore verify")
    for system in dict.fromkeys(row.system for row in verdicts):
        _suite(suites, system, [row for row in verdicts if row.system == system])
    ElementTree.indent(suites)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "wb") as file:
        ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def _suite(suites, system, rows):
    failures = sum(_fails(row) for row in rows)
    skipped = sum(_skipped(row) for row in rows)
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name=_clean(system),
        tests=str(len(rows)),
        failures=str(failures),
        errors="0",
        skipped=str(skipped),
    )
    for row in rows:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(system), name=_clean(row.id))
        if _fails(row):
            ElementTree.SubElement(case, "failure", type=row.verdict, message=_clean(_found(row)))
        elif _skipped(row):
            ElementTree.SubElement(case, "skipped", message=_clean(f"{row.verdict}: {row.detail}"))
        told = [row.title, f"{row.verdict}: {_found(row)}", row.origin, row.detail, f"source: {row.source}"]
        told += [f"reason of the tolerance: {row.reason}", "" if row.gating else "informative"]
        ElementTree.SubElement(case, "system-out").text = _clean("\n".join(filter(None, told)))


def _fails(row):
    return row.gating and row.verdict == DEVIATES


def _skipped(row):
    return not row.passes and row.verdict != DEVIATES


def _found(row):
    text = (
        f"{measured_text(row)}, expected {number_text(row.expected)}, agrees within "
        f"{tolerance_text(row.tolerance, row.expected)}"
    )
    return "; ".join(filter(None, (text, cause_text(row))))


def _clean(text):
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
