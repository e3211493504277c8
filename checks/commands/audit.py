"""`encore audit`: known vulnerabilities of the locks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import JsonOption, app, print_json, print_problems
from checks.size import PROJECT


@app.command(epilog="Example: [bold]encore audit --service pypi cuda101[/]")
def audit(
    names: Annotated[Optional[list[str]], typer.Argument(help="locks", show_default="all")] = None,
    service: Annotated[str, typer.Option(help="who is asked: osv or pypi")] = "osv",
    osv_url: Annotated[
        Optional[str], typer.Option(help="another server that answers as osv does", show_default="osv's own")
    ] = None,
    root: Annotated[Path, typer.Option(help="folder of locks/", show_default="the project")] = PROJECT,
    as_json: JsonOption = False,
):
    """Ask for known vulnerabilities of every locked package; exit 1 for one that is not accepted with a
    reason, for a package that was not audited, and for an acceptance that no longer fits."""
    from checks.audit import SERVICES
    from checks.audit import audit as audit_locks
    from encore.runtime.refusal import Refusal

    if service not in SERVICES:
        raise Refusal(f"--service {service}: it is one of {', '.join(SERVICES)}")
    found = audit_locks(root, tuple(names or ()), service, osv_url)
    if as_json:
        print_json(dataclasses.asdict(found))
        raise typer.Exit(1 if found.problems else 0)
    print(
        f"{found.packages} packages audited, {len(found.accepted)} known vulnerabilities accepted, "
        f"{len(found.problems)} problems"
    )
    print_problems(found.problems)
