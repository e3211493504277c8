"""Loader processes: items in order, refusals as they are, and none that outlives the one that started it."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from checks.size import PROJECT
from encore.data.loader_processes import START_METHODS, as_it_is, loader, made_in_order
from encore.runtime.refusal import Refusal

KILLED_AT_THE_FORK = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from encore.data.loader_processes import loader

def outlive(parent=os.getpid()):  # as on a busy machine: the loader process begins when its parent is gone
    while os.getppid() == parent:
        time.sleep(0.01)

os.register_at_fork(after_in_child=outlive)
if sys.argv[1] == "ours":
    items = loader(list(range(4)), range(4), 1)
else:
    items = DataLoader(list(range(4)), batch_size=None, sampler=range(4), num_workers=1)
iterator = iter(items)
os.kill(os.getpid(), signal.SIGKILL)
"""


def double(key):
    if key == 3:
        raise Refusal("the third is torn: leave it out")
    return torch.tensor([2 * key])


@pytest.mark.parametrize("workers", [0, 2])
def test_items_come_in_the_order_of_the_keys(workers):
    before = torch.random.get_rng_state()
    assert [item.item() for item in made_in_order(double, [5, 1, 4, 0], workers)] == [10, 2, 8, 0]
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_refusal_comes_as_it_is(workers):
    made = made_in_order(double, [2, 3, 4], workers)
    assert next(made).item() == 4
    with pytest.raises(Refusal) as refused:
        next(made)
    assert str(refused.value) == "the third is torn: leave it out"


@pytest.mark.parametrize("start_method", START_METHODS)
def test_any_start_method_delivers(start_method):
    found = loader(torch.arange(6), range(1, 6, 2), 2, start_method, collate_fn=as_it_is)
    assert [item.item() for item in found] == [1, 3, 5]


def test_a_start_method_whose_processes_could_outlive_this_one_is_refused():
    with pytest.raises(ValueError, match="expected fork or spawn, found forkserver"):
        loader(torch.arange(6), range(6), 2, "forkserver")


def ends(whose, seconds):
    """Whether all that a killed process started ends in `seconds`: with the last the pipe of its output
    closes."""
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED_AT_THE_FORK, whose],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert killed.wait(timeout=120) == -signal.SIGKILL, killed.stderr.read().decode()
    try:
        killed.communicate(timeout=seconds)
        return True
    except subprocess.TimeoutExpired:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        return False


def test_a_loader_process_ends_with_its_parent_killed_as_it_forked():
    assert ends("ours", seconds=60)
    assert not ends("theirs", seconds=8), "PyTorch's own loaders end now too: ours need no help"


def test_no_module_starts_loader_processes_of_its_own():
    named = [
        str(path.relative_to(PROJECT))
        for folder in ("src", "stages")
        for path in sorted((PROJECT / folder).rglob("*.py"))
        if "DataLoader(" in path.read_text(encoding="utf-8")
    ]
    assert named == ["src/encore/data/loader_processes.py"]


RUN = """
import os, signal, sys
from encore.data.loader_processes import as_it_is, loader
from encore.runtime import shared_memory
from encore.runtime.temporary_files import own_temporaries

shared_memory.PLACE, whom = sys.argv[1:]

class Items:
    parent = os.getpid()

    def __getitem__(self, key):
        if key == 2:  # killed after it has made a segment, before it takes its name away
            for process in (os.getpid(), self.parent):
                open(os.path.join(shared_memory.PLACE, "torch_{}_7_1".format(process)), "w").close()
            for process in {"nobody": (), "worker": (os.getpid(),), "run": (self.parent, os.getpid())}[whom]:
                os.kill(process, signal.SIGKILL)
        return key

with own_temporaries("work"):
    print(list(loader(Items(), range(4), 1, collate_fn=as_it_is)))
"""


def segments_left(folder, whom):
    """(segments, temporary folders) in `folder` after a run of which `whom` was killed, how many."""
    for name in ("shm", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "shm"), whom],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, TMPDIR=str(folder / "tmp"), PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert run.returncode == {"nobody": 0, "worker": 1, "run": -signal.SIGKILL}[whom], run.stderr
    return len(list((folder / "shm").iterdir())), len(list((folder / "tmp").iterdir()))


def test_a_killed_loader_process_leaves_no_segment_of_shared_memory(tmp_path):
    """But that of a process which is none of the run's loaders, as are those of other programs."""
    assert segments_left(tmp_path, "worker") == (1, 0)


def test_the_next_run_removes_the_segments_of_the_loader_processes_of_a_killed_one(tmp_path):
    assert segments_left(tmp_path, "run") == (2, 1)
    (noted,) = (tmp_path / "tmp").glob("*/loader-*")
    segment = tmp_path / "shm" / "torch_{}_7_1".format(noted.name.partition("-")[2])
    assert segment.exists()
    assert segments_left(tmp_path, "nobody") == (3, 0) and not segment.exists()
