"""`encore reference`: the run that later runs are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import ClaimsOption, FolderArgument, JsonOption, app, print_json
from checks.size import Size


@app.command(epilog="Example: [bold]encore reference mini --output my-run.json[/]")
def reference(
    folder: FolderArgument = Path("."),
    output: Annotated[
        Optional[Path],
        typer.Option(help="file to write", show_default="claims/reference/mini.json or published.json"),
    ] = None,
    claims: ClaimsOption = None,
    as_json: JsonOption = False,
):
    """Write the record of a run: digests, metrics and fingerprints of its stages, as the stored reference or
    as a file to hand on for `encore compare`."""
    from checks.runs.reference import write_reference

    path = write_reference(Size.of(folder, claims), output)
    if as_json:
        print_json({"path": str(path), "bytes": path.stat().st_size})
    else:
        print(path)
