"""`encore verify`: every claim becomes a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import ClaimsOption, FolderArgument, JsonOption, app, print_json
from checks.size import Size


@app.command(
    epilog="Example: [bold]encore verify mini[/]; several seeds: [bold]encore verify mini "
    "--run 1=/runs/seed1 --run 2=/runs/seed2[/]"
)
def verify(
    folder: FolderArgument = Path("."),
    run: Annotated[
        Optional[list[str]],
        typer.Option(help="a run of this size as SEED=FOLDER, once a run, in place of the folder's own"),
    ] = None,
    runs: Annotated[Optional[Path], typer.Option(help="a folder of such runs, one folder each")] = None,
    from_predictions: Annotated[
        bool,
        typer.Option("--from-predictions", help="compute the numbers again from the stored evidence files"),
    ] = False,
    junit: Annotated[Optional[Path], typer.Option(help="also write JUnit XML to this file")] = None,
    markdown: Annotated[
        Optional[Path], typer.Option(help="also write a Markdown comment for a pull request to this file")
    ] = None,
    claims: ClaimsOption = None,
    as_json: JsonOption = False,
):
    """Turn every claim of a size into a verdict; exit 0 only if no gating claim deviates or is missing."""
    from checks.junit import write_junit
    from checks.markdown_table import write_markdown
    from checks.verdict_table import show
    from checks.verify import (
        check_output,
        failures,
        rows_of,
        runs_of,
        verify,
        verify_runs,
        write_verdicts,
    )

    check_output(junit, "--junit")
    check_output(markdown, "--markdown")
    size = Size.of(folder, claims)
    several = runs_of(run or (), runs)
    verdicts = (
        verify_runs(size, several, from_predictions=from_predictions)
        if several
        else verify(size, from_predictions=from_predictions)
    )
    failed = failures(verdicts)
    path = write_verdicts(size, verdicts, from_predictions)
    if junit:
        write_junit(junit, verdicts, failed)
    if markdown:
        write_markdown(markdown, verdicts, failed)
    if as_json:
        print_json(rows_of(verdicts))
    else:
        show(verdicts, failed, path)
    raise typer.Exit(1 if failed else 0)
