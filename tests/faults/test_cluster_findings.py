"""How the suite `cluster` compares folders and ends, without a cluster."""

import os
import subprocess

from faults.cluster import loopback
from faults.cluster.injections import Ended, Injections, leftovers, run_problems, unlike


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_every_difference_of_two_folders_is_told(tmp_path):
    expected = write(tmp_path / "a", {"x": "1", "y": "2", "deep/z": "3"})
    found = write(tmp_path / "b", {"x": "1", "y": "4", "w": "5"})
    assert unlike(expected, found) == ["deep/z is missing", "w is too many", "y differs"]
    assert unlike(expected, expected) == []
    assert unlike(tmp_path / "none", found) == ["the run in one process has no output"]


def test_what_is_left_is_told(tmp_path):
    write(tmp_path, {"out/1.tmp-7": "", ".work/cluster/host.7.ab/token": "", "out/1.txt": ""})
    assert leftovers(tmp_path) == ["out/1.tmp-7 is left", ".work/cluster/host.7.ab is left"]


def test_a_refusal_is_one_line_with_its_words():
    assert Ended(2, "", "encore: unit 3: mend it\n").refusal_problems("unit 3") == []
    assert Ended(0, "", "").refusal_problems("unit 3")
    assert Ended(2, "", "Traceback ...\nencore: unit 3\n").refusal_problems("unit 3")
    assert Ended(2, "", "encore: unit 4\n").refusal_problems("unit 3")
    assert run_problems(Ended(0, "", "")) == [] and run_problems(Ended(1, "", "why"))


def test_a_process_that_outlives_its_unit_is_told(monkeypatch):
    with subprocess.Popen([loopback.UNIT, "-c", "read"], executable="bash", stdin=subprocess.PIPE) as stray:
        try:
            assert loopback.none_within(lambda: stray.pid not in loopback.strays(), seconds=5)
            assert not loopback.none_within(loopback.strays, seconds=0.2)
            with monkeypatch.context() as patch:  # this process is a node now
                patch.setattr(loopback, "is_node", lambda pid: pid == os.getpid())
                assert stray.pid not in loopback.strays()
        finally:
            stray.kill()
            stray.wait()
    assert stray.pid not in loopback.strays()


def test_a_fault_that_comes_too_late_is_tried_again(tmp_path):
    write(tmp_path, {"out/0.txt": "0"})
    run = Injections(None, tmp_path).popen(["-c", "import time; time.sleep(60)"], tmp_path)
    answers = [False, False, True]
    try:
        found = Injections(None, tmp_path).in_the_middle(run, tmp_path, lambda: answers.pop(0), units=False)
    finally:
        run.kill()
        run.communicate()
    assert (found, answers) == ([], [])
