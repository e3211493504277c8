"""`encore recipe`: are the parameters those of the claims?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.commands import ClaimsOption, FolderArgument, JsonOption, app, print_json
from checks.size import Size


@app.command(epilog="Example: [bold]encore recipe . --freeze[/]")
def recipe(
    folder: FolderArgument = Path("."),
    claims: ClaimsOption = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="store these parameters as the stated ones")
    ] = False,
    as_json: JsonOption = False,
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
        if as_json:
            print_json({"written": str(size.frozen_recipe)})
        else:
            print(size.frozen_recipe)
        return
    objections = {system: recipe_objection(size, [system]) for system in systems}
    if as_json:
        print_json(objections)
    else:
        for system, objection in objections.items():
            print(f"{system}: {objection or 'as stated'}")
    raise typer.Exit(1 if any(objections.values()) else 0)
