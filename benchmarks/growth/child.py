"""The measured process: one subject at one size; prints one line of JSON.

`python -m benchmarks.growth.child prepare|measure SUBJECT N FOLDER`
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time

from benchmarks.growth.subjects import subject

ENOUGH_SECONDS, MOST_CALLS = 0.4, 5


def measure(module, folder, n):
    """{processor_seconds, wall_seconds (least of the calls), calls, peak_memory_bytes, open_files, objects,
    stored_bytes}.

    `objects`: the files that the work left, and one for their folder, as DVC counts.
    """
    work, processor, wall, result, open_files = module.ready(folder, n), [], [], None, 0
    forget_peak()
    output = os.path.join(folder, "output")
    while len(wall) < MOST_CALLS and sum(wall) < ENOUGH_SECONDS:
        if module.OUTPUT:
            shutil.rmtree(output, ignore_errors=True)
            os.makedirs(output)
        del result
        began, processor_began = time.perf_counter(), _processor_seconds()
        result = work()
        processor.append(_processor_seconds() - processor_began)
        wall.append(time.perf_counter() - began)
        open_files = max(open_files, len(os.listdir("/proc/self/fd")))  # with those that the result holds
    files = [os.path.join(place, name) for place, _, names in os.walk(output) for name in names]
    return {
        "processor_seconds": min(processor),
        "wall_seconds": min(wall),
        "calls": len(wall),
        "peak_memory_bytes": memory("VmHWM"),
        "open_files": open_files,
        "objects": len(files) + 1 if module.OUTPUT else 0,
        "stored_bytes": sum(map(os.path.getsize, files)),
    }


def _processor_seconds():
    """Of all threads of this process and of the children that it waited for."""
    taken = os.times()
    return time.process_time() + taken.children_user + taken.children_system


def forget_peak():
    """Let the peak begin anew, so that what making the inputs took does not count."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def memory(entry):
    """Bytes of this process alone; getrusage would count what the process was that started it."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(entry))


def main(what, name, n, folder):
    module = subject(name)
    if what == "prepare":
        module.prepare(folder, int(n))
        return
    print(json.dumps(measure(module, folder, int(n))))


if __name__ == "__main__":
    main(*sys.argv[1:])
