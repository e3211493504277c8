"""`encore verify`: every claim becomes a verdict."""

from __future__ import annotations

from pathlib import Path

import typer

from checks.commands import ClaimsOption, FolderArgument, JsonOption, app
from checks.size import Size


@app.command(epilog="Example: [bold]encore verify mini[/]")
def verify(folder: FolderArgument = Path("."), claims: ClaimsOption = None, as_json: JsonOption = False):
    """Turn every claim of a size into a verdict; exit 0 only if no gating claim deviates or is missing."""
    from checks.verify import failures, show, verify, write_verdicts

    size = Size.of(folder, claims)
    verdicts = verify(size)
    show(verdicts, write_verdicts(size, verdicts), as_json)
    raise typer.Exit(1 if failures(verdicts) else 0)
