"""`encore report`: one page from the files of a size."""

from __future__ import annotations

from pathlib import Path

from checks.commands import ClaimsOption, FolderArgument, app
from checks.size import Size


@app.command(epilog="Example: [bold]encore report mini[/]")
def report(folder: FolderArgument = Path("."), claims: ClaimsOption = None):
    """Write report/index.html: verdicts, curves, copies, matches, photographs, environments, on one page."""
    from checks.report.page import write_report

    print(write_report(Size.of(folder, claims)))
