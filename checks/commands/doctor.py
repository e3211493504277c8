"""`encore doctor`: can this machine and clone run the pipeline?"""

from __future__ import annotations

import dataclasses

import typer
from rich.console import Console

from checks.commands import JsonOption, app, print_json
from checks.size import PROJECT

COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@app.command(epilog="Example: [bold]encore doctor[/]")
def doctor(as_json: JsonOption = False):
    """Check this machine and clone, and say what to do next; exit 1 when there is a problem."""
    from checks.doctor import examine

    findings = examine(PROJECT)
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        console = Console()
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            console.print(f"[{COLOURS[finding.state]}]{finding.state:<7}[/]", end="  ")
            line = f"{finding.what:<{width}}  {finding.found}" + (
                f"; next: {finding.next}" if finding.next else ""
            )
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    raise typer.Exit(1 if any(finding.state == "problem" for finding in findings) else 0)
