"""Numbers, tolerances and verdicts as people read them."""

from __future__ import annotations


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


def value_text(verdict):
    """The value of a Verdict, of several runs with their standard deviation."""
    text = number_text(verdict.value)
    return f"{text} ± {number_text(verdict.runs['spread'])}" if verdict.runs else text


def measured_text(verdict):
    """The value of a Verdict with the number of runs, or its bootstrap interval."""
    text = value_text(verdict)
    if verdict.runs:
        return f"{text} ({verdict.runs['n']} runs)"
    if verdict.interval:
        return f"{text} [{', '.join(map(number_text, verdict.interval))}]"
    return text


def cause_text(verdict):
    """What a deviation is put down to, one line; None without a cause."""
    if not verdict.why:
        return None
    return f"cause ({verdict.why['kind']}): {verdict.why['text']}"


def closing_line(failed):
    """The line that says what the exit status is."""
    if not failed:
        return "every gating claim holds"
    return f"{len(failed)} gating claims deviate or are missing: {', '.join(row.id for row in failed)}"
