"""`make gpu-check`: check this machine's GPU against the CPU, measure it, keep benchmarks/gpu-<name>.json."""

from __future__ import annotations

import argparse
import importlib.util
import sys

from encore.runtime.refusal import Refusal

WHAT = (
    "compares training steps and replicas on the GPU with the CPU, runs the canary, measures images per "
    "second and memory, and writes benchmarks/gpu-<name>.json"
)


def main(arguments=None):
    """0: passed or no GPU; 1: a check failed; 2: refused."""
    options = parse(arguments)
    if importlib.util.find_spec("torch") is None:
        print(
            "encore: {} has no torch: choose a Python that has it with GPU_PYTHON=…".format(sys.executable),
            file=sys.stderr,
        )
        return 2
    import torch

    if options.device is None and not torch.cuda.is_available():
        print(
            "encore: torch {} finds no GPU here, nothing was checked; with one this {}".format(
                torch.__version__, WHAT
            )
        )
        return 0
    try:
        return check(options, torch)
    except Refusal as refusal:
        print("encore: {}".format(refusal), file=sys.stderr)
        return 2


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=WHAT)
    parser.add_argument("--output", metavar="FILE", help="where the record goes")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; no record but for --output")
    return parser.parse_args(arguments)


def check(options, torch):
    """Run the check that the options describe -> exit status."""
    kind = options.device or "cuda"
    if kind == "cuda" and not torch.cuda.is_available():
        raise Refusal("--device cuda: torch {} finds no GPU: leave it out".format(torch.__version__))
    if kind == "cpu" and not options.quick:
        raise Refusal("--device cpu shows only that all runs, which takes hours at full size: add --quick")
    from benchmarks.gpu_check import record, table

    device = torch.device("cuda", 0) if kind == "cuda" else torch.device("cpu")
    path = options.output or (None if options.quick else record.record_path(record.device_name(device)))
    if path:
        record.refuse_unwritable(path)
    found = record.examine(device, options.quick, lambda line: print("{} …".format(line), flush=True))
    print("\n".join(table.lines(found)))
    if path:
        record.write(path, found)
        print("written to {}".format(path))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
