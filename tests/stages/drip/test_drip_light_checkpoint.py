"""The command that makes checkpoints light."""

import subprocess
import sys

import pytest

from encore.systems.drip.network import build
from encore.systems.drip.published_checkpoints import read_container, write_checkpoint
from tests.encore.systems.drip.tiny_drip import SHAPE


@pytest.fixture()
def checkpoints(tmp_path):
    for name in ("last.ckpt", "FacebookModel_epoch= 5.ckpt"):
        write_checkpoint(str(tmp_path / name), build(SHAPE, 1, 5), 4, 1250)
    return tmp_path


def light_checkpoint(folder, *arguments):
    command = [sys.executable, "-m", "stages.drip.light_checkpoint"] + list(arguments)
    return subprocess.run(
        command, cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True
    )


def test_what_it_wrote_is_printed(checkpoints):
    whole = read_container(str(checkpoints / "last.ckpt"))
    for _ in range(2):  # a light one is not made lighter
        done = light_checkpoint(checkpoints, "last.ckpt", "*.ckpt")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["last_LIGHT.ckpt", "FacebookModel_epoch= 5_LIGHT.ckpt"]
    assert len(list(checkpoints.iterdir())) == 4
    found = read_container(str(checkpoints / "last_LIGHT.ckpt"))
    assert "optimizer_states" in whole and "optimizer_states" not in found
    assert set(whole["state_dict"]) - set(found["state_dict"]) == {"criterion.kernel"}


def test_refusals_are_one_line(checkpoints):
    (checkpoints / "broken.ckpt").write_bytes(b"no checkpoint")
    for name, message in (("none*.ckpt", "none*.ckpt names no checkpoint"), ("broken.ckpt", "broken.ckpt")):
        done = light_checkpoint(checkpoints, name)
        assert done.returncode == 2 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1 and message in done.stderr


def test_it_starts_without_torch():
    program = "import sys, stages.drip.light_checkpoint\nprint('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program]).decode().strip() == "False"
