"""The fingerprint of a stage: which machine made a file, when, with which libraries."""

from __future__ import annotations

from encore.runtime.json_file import read_json_file
from encore.runtime.refusal import Refusal


def read_fingerprint(path):
    """One fingerprint as a dict with at least `machine` and `finished`; raises Refusal."""
    try:
        value = read_json_file(path)
    except FileNotFoundError:
        raise Refusal(
            f"{path}: no such fingerprint: without it nobody knows where the number came from, "
            "run the stage again"
        ) from None
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror}): run the stage again") from None
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): run the stage again") from None
    if not isinstance(value, dict):
        raise Refusal(f"{path}: expected a mapping: run the stage again")
    for key in ("machine", "finished"):
        if not isinstance(value.get(key), str):
            raise Refusal(f"{path}: {key}: expected text, found {value.get(key)!r}: run the stage again")
    return value
