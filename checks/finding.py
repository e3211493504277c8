"""One line of `encore doctor`: what was looked at, what was found, what to do about it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """`next` is what to do, empty where all is well."""

    what: str
    state: str
    found: str
    next: str = ""


def ask(command, timeout=60, **options):
    """(exit status, output, last line of its errors) of a program; (None, "", why) when it does not run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, **options
        )
    except FileNotFoundError:
        return None, "", f"no program {command[0]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, "", f"{command[0]}: {type(error).__name__}"
    errors = done.stderr.strip().splitlines()
    return done.returncode, done.stdout.strip(), errors[-1].strip() if errors else ""
