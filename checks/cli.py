"""The command line `encore`: every command is thin, the work is in the module of the same name."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.table import Table

from checks.size import PROJECT, Size
from encore.runtime.refusal import Refusal

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Re-run published training systems and verify whether their numbers come out again.",
)

FolderArgument = Annotated[Path, typer.Argument(help="a size: the folder of a dvc.yaml, `.` or `mini`")]
ClaimsOption = Annotated[
    Optional[Path], typer.Option(help="the claim folder", show_default="claims/ of the project")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]


def main(arguments=None):
    """Run one command; a refusal is printed without a traceback and ends with status 2."""
    try:
        app(args=arguments, prog_name="encore")
    except Refusal as refusal:
        print(f"encore: {refusal}", file=sys.stderr)
        sys.exit(2)


@app.command(epilog="Example: [bold]encore data --size mini[/]")
def data(
    size: Annotated[Path, typer.Option(help="folder with inputs.yaml")] = Path("."),
    dataset: Annotated[Optional[list[str]], typer.Option(help="only this data set (may be repeated)")] = None,
    used_by: Annotated[
        Optional[str], typer.Option(help="only what one family starts from: isc, fkd, drip or reid")
    ] = None,
    as_json: JsonOption = False,
):
    """Check that the raw data are there, complete and under the expected names; write inputs/*.json."""
    from checks.data import check_data

    rows = check_data(size, dataset or (), used_by)
    _table(("dataset", "count", "bytes", "path"), rows, as_json)


@app.command(epilog="Example: [bold]encore counts data/isc_100k_256 --images 2000000 --classes 100000[/]")
def counts(
    folder: Annotated[Path, typer.Argument(help="a data set folder with manifest.json")],
    images: Annotated[Optional[int], typer.Option(help="images it must hold")] = None,
    classes: Annotated[Optional[int], typer.Option(help="classes it must hold")] = None,
    content: Annotated[bool, typer.Option("--content", help="also check every byte of every shard")] = False,
    as_json: JsonOption = False,
):
    """Check the manifest of a generated data set: shards, digests, number of images and classes."""
    from checks.counts import check_counts

    found, problems = check_counts(folder, images, classes, content)
    _table(("what", "expected", "found"), [dataclasses.asdict(count) for count in found], as_json)
    for problem in problems:
        print(f"encore: {problem}", file=sys.stderr)
    raise typer.Exit(1 if problems else 0)


@app.command(epilog="Example: [bold]encore verify mini[/]")
def verify(folder: FolderArgument = Path("."), claims: ClaimsOption = None, as_json: JsonOption = False):
    """Turn every claim of a size into a verdict; exit 0 only if no gating claim deviates or is missing."""
    from checks.verify import failures, show, verify, write_verdicts

    size = Size.of(folder, claims)
    verdicts = verify(size)
    show(verdicts, write_verdicts(size, verdicts), as_json)
    raise typer.Exit(1 if failures(verdicts) else 0)


@app.command(epilog="Example: [bold]encore report mini[/]")
def report(folder: FolderArgument = Path("."), claims: ClaimsOption = None):
    """Write report/index.html: verdicts, curves, copies, matches, photographs, environments, on one page."""
    from checks.report.page import write_report

    print(write_report(Size.of(folder, claims)))


@app.command(epilog="Example: [bold]encore match photos/new photos/archive --output found --top 5[/]")
def match(
    queries: Annotated[Path, typer.Argument(help="folder of pictures that may be copies")],
    references: Annotated[Path, typer.Argument(help="folder of pictures they may be copies of")],
    weights: Annotated[
        Optional[Path], typer.Option(help="trained weights", show_default="the mini weights")
    ] = None,
    output: Annotated[Path, typer.Option(help="folder to write")] = Path("encore-match"),
    top: Annotated[int, typer.Option(min=1, help="references to list for each query")] = 5,
    scales: Annotated[
        Optional[list[int]],
        typer.Option(
            min=8,
            help="side in pixels that pictures are resized to; give it once a scale",
            show_default=False,
        ),
    ] = None,
):
    """Find the best matches of one folder of pictures in another: matches.csv and gallery.html."""
    from checks.match import match_folders

    print(match_folders(queries, references, output, top, weights, scales or ()))


@app.command(epilog="Example: [bold]encore dependencies --write[/]")
def dependencies(
    write: Annotated[bool, typer.Option("--write/--check", help="rewrite, or only report")] = False,
    root: Annotated[Path, typer.Option(help="folder of dvc.yaml", show_default="the project")] = PROJECT,
):
    """Check that every DVC stage depends on exactly the first-party files it imports; exit 1 when stale."""
    from checks.dependencies import load, stale_stages, update

    path = root / "dvc.yaml"
    if write:
        for name in update(path, root):
            print(f"{name}: rewritten")
        return
    stale = stale_stages(root, load(path))
    for name, (has, wanted) in stale.items():
        print(
            f"{name}: stale: lacks {sorted(set(wanted) - set(has)) or 'nothing'}, "
            f"has too much {sorted(set(has) - set(wanted)) or 'nothing'}; run `encore dependencies --write`"
        )
    raise typer.Exit(1 if stale else 0)


@app.command(epilog="Example: [bold]encore recipe . --freeze[/]")
def recipe(
    folder: FolderArgument = Path("."),
    claims: ClaimsOption = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="store these parameters as the stated ones")
    ] = False,
):
    """Compare params.yaml with the parameters that the claims belong to; exit 1 when they differ."""
    from checks.claims import read_all_claims
    from checks.lineage import systems_behind
    from checks.recipe import freeze as write_frozen
    from checks.recipe import read_parameters, recipe_objection

    size = Size.of(folder, claims)
    claims = [claim for claim in read_all_claims(size.claims) if claim.tier == size.tier]
    systems = systems_behind(size.folder, [claim.metric.file for claim in claims])
    if freeze:
        write_frozen(read_parameters(size.folder / "params.yaml"), systems, size.frozen_recipe)
        print(size.frozen_recipe)
        return
    objections = {system: recipe_objection(size, [system]) for system in systems}
    for system, objection in objections.items():
        print(f"{system}: {objection or 'as stated'}")
    raise typer.Exit(1 if any(objections.values()) else 0)


@app.command(epilog="Example: [bold]encore calibrate isc_track2 0=/runs/seed0 1=/runs/seed1 2=/runs/seed2[/]")
def calibrate(
    system: Annotated[str, typer.Argument(help="a claim file's name, e.g. isc_track2")],
    runs: Annotated[Optional[list[str]], typer.Argument(help="finished runs as SEED=FOLDER")] = None,
    claims: ClaimsOption = None,
    as_json: JsonOption = False,
):
    """Take expected values and tolerances of the mini claims from seed runs, and store both."""
    from checks.calibrate import calibrate, collect

    claims = claims or PROJECT / "claims"
    if runs:
        collect(claims, system, _seed_runs(runs))
    rows = [
        {
            "claim": claim.id,
            "expected": claim.expected,
            "low": claim.tolerance.low,
            "high": claim.tolerance.high,
            "gating": claim.gating,
        }
        for claim in calibrate(claims, system)
    ]
    _table(("claim", "expected", "low", "high", "gating"), rows, as_json)


@app.command(epilog="Example: [bold]encore environment cuda101 --python .envs/cuda101/bin/python[/]")
def environment(
    name: Annotated[str, typer.Argument(help="cuda101, cuda101-pandas, cuda118 or cpu")],
    python: Annotated[
        Optional[Path],
        typer.Option(help="interpreter to check", show_default="ENCORE_PYTHON, else that of the image"),
    ] = None,
    canary: Annotated[bool, typer.Option("--canary", help="also run the numerical canary there")] = False,
    as_json: JsonOption = False,
):
    """Compare an environment with its definition: Python, libraries, CUDA, GPU; exit 1 if it deviates."""
    from checks.environment import check_environment, run_canary

    status, rows = check_environment(name, python)
    if rows is None:
        raise typer.Exit(status)
    canary_status, output = run_canary(name, python, as_json) if canary else (0, "")
    if as_json:
        value = {"environment": rows, "canary": json.loads(output)} if canary else rows
        print(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        shown = [row for row in rows if row["stated"] or row["state"] != "ok"]
        _table(("what", "wanted", "found", "state"), shown, as_json)
        print(output, end="")
    raise typer.Exit(max(status, canary_status))


@app.command(epilog="Example: [bold]encore locks --check --offline[/]")
def locks(
    write: Annotated[bool, typer.Option("--write/--check", help="make them again, or only report")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="check without asking the package index")
    ] = False,
    root: Annotated[Path, typer.Option(help="folder of locks/", show_default="the project")] = PROJECT,
):
    """Make every environment's lock, or check digests, inputs, Dockerfiles and drift; exit 1 on a problem."""
    from checks.locks import check_locks, write_locks

    if write and offline:
        raise Refusal("--write asks the package index: leave out --offline")
    if write:
        for name in write_locks(root):
            print(f"{name}: rewritten")
        return
    _problems(check_locks(root, resolve=not offline))


@app.command(epilog="Example: [bold]encore dockerfiles[/]")
def dockerfiles(
    root: Annotated[
        Path, typer.Option(help="folder of the Dockerfiles", show_default="the project")
    ] = PROJECT,
):
    """Check that every Dockerfile keeps the rules that let it build years later; exit 1 if one does not."""
    from checks.dockerfiles import dockerfile_problems

    paths = sorted(root.glob("Dockerfile.*"))
    if not paths:
        raise Refusal(f"{root}: there is no Dockerfile.<environment>: name the folder of a project")
    _problems([problem for path in paths for problem in dockerfile_problems(path)])


@app.command(epilog="Example: [bold]encore digests mini --environment cuda101[/]")
def digests(
    size: FolderArgument,
    environment: Annotated[str, typer.Option(help="environment that the data sets were generated in")],
    data_set: Annotated[Optional[list[str]], typer.Option(help="only this one (may be repeated)")] = None,
    record: Annotated[bool, typer.Option("--record", help="put what is there on record")] = False,
    as_json: JsonOption = False,
):
    """Compare generated data sets with the digests on record for an environment; exit 1 when one differs."""
    from checks.digests import compare_digests, record_digests

    if record:
        record_digests(size, environment)
    rows = compare_digests(size, environment, data_set or ())
    columns = ("data_set", "recorded", "found")
    _table(columns, [dataclasses.asdict(row) for row in rows], as_json)
    raise typer.Exit(0 if all(row.holds for row in rows) else 1)


@app.command(epilog="Example: [bold]encore forecast . --cores 20 --gpus 33[/]")
def forecast(
    folder: FolderArgument = Path("."),
    cores: Annotated[int, typer.Option(min=1, help="CPU cores to use at a time")] = 20,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs to use at a time")] = 4,
    gpu_record: Annotated[
        Optional[Path],
        typer.Option(help="record of `make gpu-check`", show_default="a V100, as the authors' hours imply"),
    ] = None,
    search_share: Annotated[
        float, typer.Option(help="share of the recorded GPU's peak that the search is assumed to reach")
    ] = 0.25,
    as_json: JsonOption = False,
):
    """Say before a run what it will take: pictures, hours and gigabytes of every stage of ISC 2021."""
    from checks.forecast.command import forecast_rows

    rows = forecast_rows(folder, cores, gpus, gpu_record, search_share)
    _table(("stage", "amount", "of", "hours", "gigabytes", "basis"), rows, as_json)


def _seed_runs(texts):
    runs = {}
    for text in texts:
        seed, equals, folder = text.partition("=")
        if not equals or not seed.isdecimal() or seed in runs:
            raise Refusal(
                f"{text}: expected SEED=FOLDER with a different whole number each, e.g. 0=/runs/seed0"
            )
        runs[seed] = Path(folder)
    return runs


def _problems(lines):
    """Print each problem as a line and end, with status 1 when there is any."""
    for line in lines:
        print(f"encore: {line}", file=sys.stderr)
    raise typer.Exit(1 if lines else 0)


def _table(columns, rows, as_json):
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
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
