"""A mini run starts dozens of stages, so each must start fast; and none needs torchvision."""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STAGES = sorted(
    "{}.{}".format(system, name[:-3])
    for system in os.listdir(os.path.join(ROOT, "stages"))
    if os.path.isdir(os.path.join(ROOT, "stages", system)) and system != "__pycache__"
    for name in os.listdir(os.path.join(ROOT, "stages", system))
    if name != "__init__.py" and name.endswith(".py")
)
REPORT = """
import importlib, json, os, resource, sys
SLOW = ("torchvision", "timm", "skimage", "pandas", "matplotlib")
if len(sys.argv) > 2:
    import torch
for stage in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module("stages." + stage)
        used = resource.getrusage(resource.RUSAGE_SELF)
        slow = [name for name in SLOW if name in sys.modules]
        print(json.dumps([stage, used.ru_utime + used.ru_stime, slow]), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("stages." + stage)
"""


def imported(stages):
    """{stage: (seconds of processor, slow libraries)} of each; several start with torch there already."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.path.join(ROOT, "src"), ROOT]))
    output = subprocess.check_output([sys.executable, "-c", REPORT] + list(stages), env=environment)
    rows = [json.loads(line) for line in output.decode().splitlines()]
    return {stage: (seconds, slow) for stage, seconds, slow in rows}


def test_no_stage_imports_a_slow_library_and_the_slowest_starts_in_two_and_a_half_seconds_of_processor():
    found = imported(STAGES)
    assert sorted(found) == STAGES and len(STAGES) > 40
    assert {stage: slow for stage, (_, slow) in found.items() if slow} == {}
    slowest = max(found, key=lambda stage: found[stage][0])
    assert imported([slowest])[slowest][0] < 2.5
