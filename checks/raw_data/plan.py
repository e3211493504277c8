"""The plan of the raw data: what is there, what is missing, where to get it and on what terms."""

from __future__ import annotations

from pathlib import Path

from checks.data import description


def plan_rows(folder, states):
    """One dict for each data set, in the order of inputs.yaml."""
    return [_row(Path(folder), state) for state in states]


def _row(folder, state):
    entry, listing = state.entry, state.listing
    return {
        "dataset": state.name,
        "state": state.word,
        "optional": entry.used_by is None,
        "problems": state.problems,
        "files": len(listing.names) if listing else None,
        "expected_files": entry.count,
        "bytes": listing.bytes if listing else None,
        "used_by": entry.used_by,
        "access": entry.access,
        "licence": entry.licence,
        "source": entry.source,
        "path": str(folder / entry.path),
        "place": str(folder / entry.place),
        "digests_kept": state.kept,
    }


def table_text(rows):
    """The plan as lines, one a set, aligned; what is not known or not stated reads –."""
    table = [("data set", "state", "files", "bytes", "access", "used by")]
    for row in rows:
        files = row["expected_files"] if row["files"] is None else row["files"]
        sizes = ["–" if number is None else f"{number:,}" for number in (files, row["bytes"])]
        used_by = "optional" if row["optional"] else row["used_by"]
        table.append((row["dataset"], row["state"], *sizes, row["access"] or "–", used_by))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place in (2, 3) else text.ljust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def plan_text(folder, states):
    """What to do about every set that is not there as it should be, then the licences of those that are."""
    lines = [description(state, folder) for state in states if state.word != "there"]
    terms = {}
    for state in states:
        if state.word == "there":
            terms.setdefault(state.entry.licence or "not stated", []).append(state.name)
    lines += [f"  licence of {', '.join(names)}: {licence}" for licence, names in terms.items()]
    return "\n".join(lines)


def summary(states):
    """`16 there, 1 missing, 0 wrong` of the sets that a stage needs."""
    words = [state.word for state in states if state.entry.used_by is not None or state.word == "wrong"]
    return ", ".join(f"{words.count(word)} {word}" for word in ("there", "missing", "wrong"))
