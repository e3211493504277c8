import os
import shutil
from pathlib import Path

import pytest

from tests.bin.launcher_project import Project
from tests.bin.scripts import (
    open_folder,
)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def open_project():
    """A project that every user can read."""
    folder = open_folder()
    yield Project(Path(folder))
    for name in ("project", "project/.dvc/cache"):
        if os.path.exists(os.path.join(folder, name)):
            os.chmod(os.path.join(folder, name), 0o755)
    shutil.rmtree(folder)
