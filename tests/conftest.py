"""The project and the tests' own modules on the path, here and in the processes that tests start.

Hypothesis draws the same examples in every run, in whatever time: a failure is there for everybody,
or for nobody.
"""

import os
import sys

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for folder in ("tests", "", "src"):
    path = os.path.join(ROOT, folder) if folder else ROOT
    if path not in sys.path:
        sys.path.insert(0, path)
os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path.startswith(ROOT))
for name in list(os.environ):  # what an image or a user sets for real runs; the two ask for longer tests
    if name.startswith("ENCORE_") and name not in ("ENCORE_ORACLE_SEEDS", "ENCORE_ALL_SEEDS"):
        del os.environ[name]
