"""Two machines of namespaces: where they are not allowed, what they need, what is told of a broken run."""

import subprocess
from unittest import mock

import pytest

from faults.processes import hosts
from faults.processes.hosts import CUT, SHARED, NotAllowed, TwoHosts, host_rows


def test_a_machine_without_namespaces_skips_and_says_why():
    refused = subprocess.CalledProcessError(2, "ip", stderr="mount --make-shared: Operation not permitted\n")
    with mock.patch.object(hosts, "_ip", side_effect=refused):
        rows = list(host_rows())
    assert [(row.kind, row.injected, row.survived) for row in rows] == [(SHARED, 0, 0), (CUT, 0, 0)]
    assert all("Operation not permitted" in row.skipped for row in rows)
    with mock.patch.object(hosts.shutil, "which", return_value=None):
        assert all("no program ip" in row.skipped for row in host_rows())


def test_a_line_can_be_cut_and_mended_and_nothing_is_left():
    try:
        with TwoHosts() as two:
            first, second = two.names
            ping = ["ip", "netns", "exec", second, "python3", "-c", REACHES.format(hosts.NETWORK)]
            listener = subprocess.Popen(["ip", "netns", "exec", first, "python3", "-c", LISTENS])
            try:
                assert subprocess.run(ping).returncode == 0
                two.cut()
                assert subprocess.run(ping).returncode == 1
                two.mend()
                assert subprocess.run(ping).returncode == 0
            finally:
                listener.kill()
                listener.wait()
    except NotAllowed as why:
        pytest.skip(str(why))
    there = subprocess.run(["ip", "netns", "list"], stdout=subprocess.PIPE, text=True).stdout
    assert first not in there and second not in there


LISTENS = "import socket, time; s = socket.create_server(('', 29501)); time.sleep(60)"
REACHES = """
import socket, sys, time
end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        socket.create_connection(('{}.1', 29501), timeout=0.5)
        sys.exit(0)
    except OSError:
        time.sleep(0.05)
sys.exit(1)
"""


class Fake:
    """Stands for a Launched that ends as it is told to."""

    def __init__(self, status, said="", left=()):
        self._end, self._left = (status, said), list(left)

    def wait_for(self, pattern):
        return True

    def finish(self, seconds=0):
        return self._end

    def left(self):
        return self._left


class FakeHosts:
    def __init__(self, *starts):
        self._starts, self.done = iter(starts), []

    def start(self, folder):
        return next(self._starts)

    def cut(self):
        self.done.append("cut")

    def mend(self):
        self.done.append("mend")


def lost(monkeypatch, tmp_path, *starts, differences=()):
    monkeypatch.setattr(hosts, "_build", lambda folder: None)
    monkeypatch.setattr(hosts, "_differences", lambda folder, expected: list(differences))
    two = FakeHosts(*starts)
    found = hosts._cut_losses(two, tmp_path, tmp_path, [])
    assert two.done == ["cut", "mend"]
    return found


SAID = "encore: another process of this run has ended or cannot be reached (…): start the same command again"


def test_what_is_lost_of_machines_that_are_cut_off_is_told(monkeypatch, tmp_path):
    good, well = [Fake(1, SAID), Fake(1, SAID)], [Fake(0), Fake(0)]
    assert lost(monkeypatch, tmp_path, good, well) == []
    hangs = [Fake(None, "it hangs"), Fake(1, SAID, ["python -m stages"])]
    found = lost(monkeypatch, tmp_path, hangs, well)
    assert len(found) == 2 and "status None after the cut" in found[0] and "still runs python" in found[1]
    silent = [Fake(1, "Traceback"), Fake(1, SAID)]
    assert "does not say in one line" in lost(monkeypatch, tmp_path, silent, well)[0]
    assert "machine 1: status 2" in lost(monkeypatch, tmp_path, good, [Fake(0), Fake(2, "x")])[0]
    assert lost(monkeypatch, tmp_path, good, well, differences=["state differs"]) == ["state differs"]
