"""The commands of `encore`, one file each and thin: the work is in the module of the same name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Re-run published training systems and verify whether their numbers come out again.",
)

FolderArgument = Annotated[Path, typer.Argument(help="a size: the folder of a dvc.yaml, `.` or `mini`")]
ClaimsOption = Annotated[
    Optional[Path], typer.Option(help="the claim folder", show_default="claims/ of the project")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]


def print_json(value):
    """Print a value as every `--json` does."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_problems(lines, as_json=False):
    """Print each problem as a line on stderr, or all as JSON, and end: status 1 when there is any."""
    if as_json:
        print_json(lines)
    else:
        for line in lines:
            print(f"encore: {line}", file=sys.stderr)
    raise typer.Exit(1 if lines else 0)


def print_written(names, as_json=False):
    """Print what was written anew, a line each, or all as a JSON list."""
    names = list(names)
    if as_json:
        print_json(names)
        return
    for name in names:
        print(f"{name}: rewritten")


def print_table(columns, rows, as_json=False):
    """Print rows (mappings) as a table of `columns`, or as a JSON list."""
    if as_json:
        print_json(rows)
        return
    table = Table()
    for column in columns:
        numbers = any(type(row[column]) in (int, float) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(
                "–"
                if row[column] is None
                else f"{row[column]:,}"
                if type(row[column]) is int
                else str(row[column])
                for column in columns
            )
        )
    Console().print(table)
