"""What is stored survives being shared.

- Shared DVC cache: two clones with `cache.shared group` run the same stages at once, one is killed, one
  collects garbage. Survived: every run ends well or with the next command; the outputs are those of a run
  alone; every object in the cache has the bytes of its name and is open to the group; `dvc status` is clean.
- Two stages of a matrix at once in one folder, each on a GPU of its own (`bin/pipeline --gpus`). Survived:
  both ran at the same time on the device that each was given, dvc.lock holds both, `dvc status` is clean.
- Secrets planted in variables, settings, remotes and arguments. Survived: the search (checks/planted.py)
  finds them in nothing that a command wrote or printed.
"""

from __future__ import annotations

from faults.storage import secrets, shared_cache, two_at_once


def rows(full):
    """The rows of all three, one after the other."""
    yield from shared_cache.rows(full)
    yield from two_at_once.rows(full)
    yield from secrets.rows(full)
