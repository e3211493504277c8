"""Print the plan of a size as JSON: `python -m faults.kill.plan_by_dvc FOLDER`."""

from __future__ import annotations

import json
import shlex
import sys


def print_plan(folder):
    """Print the plan of the size in `folder` as JSON."""
    import networkx
    from dvc.repo import Repo

    repo = Repo(str(folder))
    graph = repo.index.graph  # edges lead from a stage to those that it needs
    ordered = [*networkx.dfs_postorder_nodes(graph)]
    print(json.dumps([_row(stage, graph) for stage in ordered]))


def _row(stage, graph):
    reads = [path for path in map(_path, stage.deps) if not path.startswith(("/", ".."))]
    return {
        "name": stage.name,
        "command": shlex.split(stage.cmd),
        "reads": [path for path in reads if path not in ("params.yaml", "inputs.yaml")],
        "makes": [_path(out) for out in stage.outs],
        "after": [needed.name for needed in graph.successors(stage)],
    }


def _path(entry):
    return str(entry.def_path)


if __name__ == "__main__":
    print_plan(sys.argv[1])
