"""Training on several processes where there is no network but loopback, as in a container of bin/in-image."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.outside_programs import lacking

PROGRAM = """
import socket, sys
from encore.runtime.stage import run_stage
from encore.training.launch import further_processes
from encore.training.distributed import join_processes
import torch

def shared():
    processes, device = join_processes("cpu")
    total = processes.sum(torch.tensor([float(processes.rank + 1)]))
    print("%d of %d: %g" % (processes.rank, processes.count, total.item()), flush=True)

def main():
    import os
    if "RANK" in os.environ:
        shared()
    else:
        with further_processes(2):
            shared()

if __name__ == "__main__":
    run_stage(main)
"""
# no interface but loopback, and a name that leads to no address
ALONE = ["unshare", "--net", "--uts", "sh", "-c"]
SETUP = 'ip link set lo up && echo nowhere-at-all >/proc/sys/kernel/hostname && exec "$@"'


@pytest.fixture(scope="module")
def alone():
    """The words in front of a command that take its network away."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        lacking("unshare and ip, which make a place without network, are not installed")
    own = [] if os.getuid() == 0 else ["--map-root-user"]
    command = ALONE[:1] + own + ALONE[1:] + [SETUP, "alone"]
    if subprocess.call(command + ["true"], stderr=subprocess.DEVNULL):
        pytest.skip("this machine lets this user make no place without network")
    return command


def test_there_is_no_network(alone):
    script = "import socket; socket.create_connection(('192.0.2.1', 9), timeout=5)"
    done = subprocess.run(alone + [sys.executable, "-c", script], stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"unreachable" in done.stderr, done.stderr
    names = subprocess.check_output(alone + ["ls", "/proc/sys/net/ipv4/conf"], universal_newlines=True)
    assert set(names.split()) - {"all", "default"} >= {"lo"}


def test_two_processes_train_together(alone, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    left_out = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GLOO_SOCKET_IFNAME")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    path = [str(tmp_path), environment["PYTHONPATH"]]
    environment.update(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(path))
    done = subprocess.run(
        alone + [sys.executable, "-m", "program"],
        cwd=str(tmp_path),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall(r"\d of 2: 3", done.stdout)) == ["0 of 2: 3", "1 of 2: 3"]
