"""A mini run starts dozens of stages, so each must start fast; and none needs torchvision."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STAGES = sorted(
    "{}.{}".format(system, name[:-3])
    for system in os.listdir(os.path.join(ROOT, "stages"))
    if os.path.isdir(os.path.join(ROOT, "stages", system)) and system != "__pycache__"
    for name in os.listdir(os.path.join(ROOT, "stages", system))
    if name != "__init__.py" and name.endswith(".py")
)
REPORT = """
import resource, sys
import stages.{}
used = resource.getrusage(resource.RUSAGE_SELF)
slow = [name for name in ("torchvision", "timm", "skimage", "pandas", "matplotlib") if name in sys.modules]
print(used.ru_utime + used.ru_stime, slow)
"""


@pytest.mark.parametrize("stage", STAGES)
def test_start_costs_at_most_two_and_a_half_seconds_of_processor(stage):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.path.join(ROOT, "src"), ROOT]))
    output = subprocess.check_output([sys.executable, "-c", REPORT.format(stage)], env=environment)
    seconds, slow = output.decode().split(" ", 1)
    assert slow.strip() == "[]"
    assert float(seconds) < 2.5
