"""Every stage of every system is killed, interrupted and starved, and goes on to the same bits.

The pipeline of dvc.yaml runs once at a tiny size (tiny.yaml), undisturbed. Then each of its stages runs again
and again in a folder of its own and is hit: by SIGKILL at random points, also in the middle of a write, and
at random times; by SIGTERM and Ctrl-C; by a full disk, a limit on the size of files, a full /dev/shm, a
read-only disk (real ones, and errors at the new files and renames that Python asks for); by the end of a
worker process; by clocks that jump by years; by a second run at the same time.

A fault is survived when

- each declared output is absent after it, or bit for bit the final one: nothing half is ever visible;
- a run that notices says so in one line and ends with status 2 (Ctrl-C 130), and nothing of it stays alive;
- the same command, run again, ends well; its outputs are those of the undisturbed run, bit for bit (on the
  CPU; logs with times apart); its inputs are unchanged; no temporary file and no work in progress is left,
  neither in the folder, nor in TMPDIR, nor in /dev/shm.

`python -m faults.kill STAGE --seed N --number K` injects one fault again.
"""

from __future__ import annotations

from faults.kill.suite import Suite, chosen_stages
from faults.kill.two_repros import two_repros

SHORT = ("isc_track2_generate", "drip_start", "reid_inputs")
"""Stages of `python -m faults --short`."""


def rows(full):
    """Inject the faults; yield a Row for each stage and kind."""
    with Suite() as suite:
        stages = chosen_stages(suite.plan) if full else SHORT
        suite.make_reference(stages)
        yield from suite.rows(stages, full)
        if full:
            yield from two_repros(suite)
