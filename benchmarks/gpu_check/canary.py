"""The numerical canary on the device, as one check."""

from __future__ import annotations

from benchmarks.gpu_check.check import Check, Found
from encore.runtime import canary

REASON = "each operation has its own bound against golden values that other machines recorded"


def check_canary(device):
    """Found: one check, and the canary's own report."""
    report = canary.run(device.type)
    drifted = [row["operation"] for row in report["rows"] if row["verdict"] == "drifted"]
    check = Check("canary: operations that drifted", len(drifted), 0, REASON, ", ".join(drifted))
    return Found((check,), figures={"canary": report})
