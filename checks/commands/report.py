"""`encore report`: one page from the files of a size."""

from __future__ import annotations

from pathlib import Path

from checks.commands import ClaimsOption, FolderArgument, JsonOption, app, print_json
from checks.size import Size


@app.command(epilog="Example: [bold]encore report mini[/]")
def report(folder: FolderArgument = Path("."), claims: ClaimsOption = None, as_json: JsonOption = False):
    """Write report/index.html: verdicts with their evidence, pictures and curves by system, published claims
    and what they take, cost, environments, on one page."""
    from checks.report.page import make_report

    made = make_report(Size.of(folder, claims))
    if as_json:
        print_json({"path": str(made.path), "missing": made.missing})
    else:
        print(made.path)
