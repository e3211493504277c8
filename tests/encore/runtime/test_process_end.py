import subprocess
import sys

import pytest

JOINED = """
import sys, types
sys.modules["torch.distributed"] = types.SimpleNamespace(
    is_available=lambda: True, is_initialized=lambda: True, get_backend=lambda: {backend!r}
)
"""
REALLY_JOINED = """
import torch
torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
"""
PROGRAM = """
import atexit, os, sys, threading, time
from encore.runtime.refusal import Refusal
from encore.runtime.stage import run_stage
os.write(1, b"begun ")
print("printed", end=" ")
atexit.register(lambda: print("exit function", end=" "))
class Last:
    def __del__(self, write=os.write):
        write(1, b"taken apart")
kept = [Last()]
def late():
    time.sleep(0.1)
    print("thread", end=" ")
def main():
    threading.Thread(target=late).start()
    {ending}
run_stage(main)
"""
ENDINGS = {
    "pass": (0, ""),
    "sys.exit()": (0, ""),
    "sys.exit(3)": (3, ""),
    "sys.exit('told')": (1, "told\n"),
    "raise Refusal('refused')": (2, "encore: refused\n"),
    "raise KeyboardInterrupt": (130, "encore: interrupted; run the same command again to go on\n"),
    "1 / 0": (1, "ZeroDivisionError: division by zero\n"),
}


def ended(before, ending):
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM.format(ending=ending)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_that_has_joined_others_ends_as_python_ends_but_is_not_taken_apart(ending):
    status, said = ENDINGS[ending]
    found = ended(JOINED.format(backend="gloo"), ending)
    assert found[:2] == (status, "begun printed thread exit function ")
    assert found[2].endswith(said) and bool(said) == bool(found[2])
    alone = ended("", ending)
    assert alone[:2] == (status, "begun printed thread exit function taken apart") and bool(said) == bool(
        alone[2]
    )
    assert alone[2].splitlines()[-1:] == found[2].splitlines()[-1:]


def test_a_process_on_gpus_ends_as_ever():
    found = ended(JOINED.format(backend="nccl"), "pass")
    assert found == (0, "begun printed thread exit function taken apart", "")


def test_the_group_that_torch_makes_is_seen():
    assert ended(REALLY_JOINED, "sys.exit(4)")[:2] == (4, "begun printed thread exit function ")
