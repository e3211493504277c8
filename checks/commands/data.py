"""`encore data`: are the raw data there?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from checks.commands import JsonOption, app, print_json, print_table
from encore.runtime.refusal import Refusal

EXAMPLES = """Examples: [bold]encore data --plan[/] (what is there, what to get where)
| [bold]encore data --used-by fkd[/] | [bold]encore data --record[/] once, then [bold]encore data --content[/]
"""


@app.command(epilog=EXAMPLES)
def data(
    size: Annotated[Path, typer.Option(help="folder with inputs.yaml")] = Path("."),
    dataset: Annotated[Optional[list[str]], typer.Option(help="only this data set (may be repeated)")] = None,
    used_by: Annotated[
        Optional[str], typer.Option(help="only what one family starts from: isc, fkd, drip or reid")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="show every set, where to get it and its licence; writes nothing")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="hash every file once and keep the digests in digests/")
    ] = False,
    content: Annotated[
        bool, typer.Option("--content", help="read every file and compare it with the kept digests")
    ] = False,
    workers: Annotated[
        Optional[int], typer.Option(min=1, help="threads that hash", show_default="one a core")
    ] = None,
    as_json: JsonOption = False,
):
    """Check that the raw data are there, complete and under the expected names; write inputs/*.json."""
    from checks.data import DataRefusal, check_data, survey
    from checks.raw_data.plan import plan_rows, plan_text, table_text
    from checks.raw_data.recording import record_digests

    def show_plan(states):
        rows = plan_rows(size, states)
        if as_json:
            print_json(rows)
        else:
            print(table_text(rows))

    if record and (plan or content):
        raise Refusal("--record: not together with --plan or --content: record first, then compare")
    datasets = dataset or ()
    if record:
        rows = record_digests(size, datasets, used_by, workers)
        print_table(("dataset", "state", "files", "bytes", "manifest"), rows, as_json)
    elif plan:
        states = survey(size, datasets, used_by, content, workers, digest=False)
        show_plan(states)
        if not as_json:
            print(plan_text(size, states))
    else:
        try:
            rows = check_data(size, datasets, used_by, content, workers)
        except DataRefusal as refusal:
            show_plan([state for state in refusal.states if state.blocks or state.word == "there"])
            raise
        print_table(("dataset", "count", "bytes", "path"), rows, as_json)
