"""The verdicts as Markdown, for a comment on a pull request."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from checks.verdict import DEVIATES
from checks.verdict_text import cause_text, closing_line, measured_text, number_text, tolerance_text
from encore.runtime.atomic import replacing

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@!])")


def write_markdown(path, verdicts, failed):
    """Write the comment to `path`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "w") as file:
        file.write(comment(verdicts, failed))


def comment(verdicts, failed):
    """A summary line, a table with what deviates first and then what is missing, the details folded."""
    counts = Counter(row.verdict for row in verdicts)
    gating = sum(row.gating for row in verdicts)
    state = f"{len(failed)} of {gating} gating claims deviate or are missing" if failed else closing_line([])
    lines = [
        f"**{state}** ({', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())})",
        "",
        "| claim | value | expected | agrees within | verdict |",
        "|---|---:|---:|---:|---|",
    ]
    for row in sorted(verdicts, key=_rank):
        cells = (
            f"{row.id}{'' if row.gating else ' (informative)'}",
            measured_text(row),
            number_text(row.expected),
            tolerance_text(row.tolerance, row.expected),
        )
        verdict = f"**{row.verdict}**" if row.verdict == DEVIATES else row.verdict
        lines.append(f"| {' | '.join(map(_text, cells))} | {verdict} |")
    lines += ["", "<details><summary>Where each number comes from</summary>", ""]
    for row in sorted(verdicts, key=_rank):
        told = (row.title, row.origin, row.detail, cause_text(row), f"source: {row.source}", row.reason)
        lines.append(f"- **{_text(row.id)}**: {_text('; '.join(filter(None, told)))}")
    return "\n".join([*lines, "", "</details>", ""])


def _rank(row):
    """What a reader must see first: gating deviations, other ones, missing numbers, the rest."""
    return (row.verdict != DEVIATES, row.passes, not row.gating)


def _text(value):
    """Text that Markdown shows as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(value.split()))
