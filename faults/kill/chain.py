"""Chains of faults: a run is hit, started again, hit again, ..., ends well, and must have made the same
bits."""

from __future__ import annotations

import signal

from faults.kill.injection import passes, wrong_ending

ATTEMPTS = 3
"""A run that goes on from work that an earlier one has done may end before the fault is reached: then the
fault is injected into one from the start, this often at most."""


def inject_all(runs, injections):
    """Inject all of them into runs of one stage (a StageRuns), in as many passes as needed -> {Injection:
    texts of what was lost by it}; those that no run reached are left out."""
    found = {}
    for some in passes(injections):
        found.update(inject_in_turn(runs, some))
    return found


def inject_in_turn(runs, injections):
    """Hit runs with `injections`, ordered from the start to the end of a run, and let one end well after
    them."""
    found, together = {}, []
    runs.place.begin_again()
    for injection in injections:
        for attempt in range(ATTEMPTS):
            ended = _hit(runs, injection, attempt)
            if ended.status != 0:
                problems = wrong_ending(injection.kind, ended.status, ended.text, runs.place.planned)
                found[injection] = problems + runs.hit_problems(ended)
                together.append(injection)
                break
            _blame(found, together, runs.completed_problems(ended))
            runs.place.begin_again()
        if injection.as_dvc:
            runs.place.remove_outputs()
    _blame(found, together, runs.completed_problems(runs.run()))
    return found


def _hit(runs, injection, attempt):
    if injection.event is not None:
        return runs.run(injection.arm(runs.place.folder))
    run = runs.start()
    status = run.wait(injection.seconds / 2**attempt)  # a machine is not always as slow
    if status is not None:
        return runs.ended(run, status)
    run.signal(signal.SIGKILL)
    return runs.end(run)


def _blame(found, together, problems):
    """What is wrong at the end of a run that several faults have hit is held against each of them."""
    for injection in together:
        others = f" (with {len(together) - 1} others before the end)" if len(together) > 1 else ""
        found[injection] = found[injection] + [problem + others for problem in problems]
    together.clear()
