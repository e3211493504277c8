"""`python -m encore.runtime.canary [--device cpu|cuda] [--json] [--record] [--golden FOLDER]`

Exit status: 0 bit-identical, within bounds or differing as JPEG libraries do; 1 drifted; 2 refused.
"""

from __future__ import annotations

import argparse
import json
import sys

from encore.runtime.canary import golden, report
from encore.runtime.refusal import Refusal


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m encore.runtime.canary", description=__doc__)
    parser.add_argument("--device", choices=report.DEVICES, default="cpu")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--record", action="store_true", help="store this machine's values as golden values")
    parser.add_argument(
        "--golden",
        default=golden.FOLDER,
        metavar="FOLDER",
        help="where golden values are (default: the canary's)",
    )
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except ImportError as error:
        print("encore: {}: the canary needs torch, numpy and Pillow".format(error), file=sys.stderr)
    except Refusal as refusal:
        print("encore: {}".format(refusal), file=sys.stderr)
    return 2


def _run(options):
    if options.record:
        for path in report.record(options.device, options.golden):
            print("recorded " + path)
        return 0
    result = report.run(options.device, options.golden)
    print(json.dumps(result, indent=1, allow_nan=False) if options.json else "\n".join(report.lines(result)))
    return int(result["verdict"] == "drifted")


if __name__ == "__main__":
    sys.exit(main())
