"""`encore crate`: the run of a size with everything that a verdict rests on, as a Workflow Run RO-Crate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import ClaimsOption, FolderArgument, JsonOption, app, print_json, print_problems
from checks.size import Size


@app.command(epilog="Example: [bold]encore crate mini --trace mini_fkd_student[/]")
def crate(
    folder: FolderArgument = Path("."),
    output: Annotated[
        Optional[Path], typer.Option(help="the crate's folder", show_default="report/crate of the size")
    ] = None,
    archive: Annotated[bool, typer.Option("--zip", help="write it as one zip file, too")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="compare every file of the crate with its digest")
    ] = False,
    trace: Annotated[
        Optional[str],
        typer.Option(metavar="CLAIM", help="follow the verdict on a claim back to the raw data"),
    ] = None,
    outside: Annotated[
        bool, typer.Option("--bytes", help="with --trace: hash what lies outside the crate, too")
    ] = False,
    claims: ClaimsOption = None,
    as_json: JsonOption = False,
):
    """Write the Workflow Run RO-Crate of a size, check it, or trace a verdict; exit 1 if bytes differ."""
    from checks.provenance.crate import crate_folder, write_crate

    size = Size.of(folder, claims)
    place = output or crate_folder(size)
    if trace is not None:
        _trace(size, place, trace, outside, as_json)
    elif check:
        from checks.provenance.reading import Crate

        print_problems(Crate(place).problems(), as_json)
    else:
        summary = write_crate(size, place, archive)
        if as_json:
            print_json(dataclasses.asdict(summary))
        else:
            _show(summary)


def _trace(size, place, claim, outside, as_json):
    from checks.provenance.run import project_of
    from checks.provenance.trace import lines, trace
    from checks.recipe import read_parameters

    root = project_of(size, read_parameters(size.folder / "params.yaml"))[0] if outside else None
    found = trace(place, claim, root)
    if as_json:
        print_json({"steps": [dataclasses.asdict(step) for step in found.steps], "problems": found.problems})
        raise typer.Exit(1 if found.problems else 0)
    for line in lines(found):
        print(line)
    print_problems(found.problems)


def _show(summary):
    from checks.provenance.crate import shortened

    print(
        f"{summary.stages} stages, {summary.verdicts} verdicts, {summary.files} files, "
        f"{summary.bytes / 1e6:.1f} MB; sha256 of its metadata {summary.metadata_sha256}"
    )
    for line in shortened(summary.missing):
        print(f"missing: {line}")
    for path in filter(None, (summary.folder, summary.archive)):
        print(path)
