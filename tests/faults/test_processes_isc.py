"""ISC's training on two processes of torchrun, one of them killed; and what is lost is told."""

from unittest import mock

from faults.judged import judged
from faults.processes import isc, shared_run
from faults.processes.launched_run import Ended


def test_a_killed_worker_is_started_again_by_torchrun_to_the_bits_of_one_process():
    (row,) = isc.rows(False)
    assert (row.place, row.injected, row.losses) == ("isc_track2_train", 1, ())


def test_a_legacy_interpreter_that_is_not_there_is_told_of_and_not_survived():
    row = isc.legacy_row("/nowhere/python")
    assert (row.injected, row.survived) == (0, 0) and "make legacy-test" in row.skipped


def test_losses_that_differ_are_not_near():
    def left(*losses):
        return {"history": [{"loss": loss} for loss in losses]}

    assert isc.nearly(left(5.0, 4.0, 3.0, 2.0), left(5.00001, 4.5, 3.01, 2.0))
    assert not isc.nearly(left(5.0, 4.0, 3.0, 2.0), left(5.001, 4.0, 3.0, 2.0))  # another first batch
    assert not isc.nearly(left(5.0, 4.0, 3.0, 2.0), left(5.0, 4.0, 3.2, 2.0))
    assert not isc.nearly(left(5.0, 4.0), left(5.0, 4.0, 3.0, 2.0))


def test_what_is_lost_with_a_worker_is_told():
    """Runs whose record differs from the undisturbed one's, and one that leaves a process behind."""

    def left(folder):
        return {"history": b"other" if folder.name == "restarted" else b"whole"}

    stage = isc.ISC_STAGE._replace(prepare=lambda folder: None, left=left)
    ends = iter([Ended(0, "", ()), Ended(0, "", ()), Ended(0, "", (17,))])
    with mock.patch.object(shared_run, "run_stage_on", lambda *_, **__: next(ends)):
        (row,) = shared_run.shared_rows(stage, False)
        assert row.lost == 1 and "does not end in the bits" in row.losses[0]
        (row,) = shared_run.shared_rows(stage, False)
        assert row.lost == 1 and "1 processes left" in row.losses[0]


def test_an_injection_that_fails_is_a_loss():
    def fails():
        raise OSError("no such\nfile")

    row = judged("processes", "somewhere", "kind", fails, list)
    assert (row.injected, row.survived, row.losses) == (2, 1, ("OSError: no such file",))


class Fake:
    """Stands for a Launched: ends with `status`, and leaves `left`."""

    status, left_over, process = 0, (), mock.Mock()

    def __init__(self, folder, module, **options):
        self.alone = "launcher" not in options

    def wait_for(self, pattern):
        return True

    def kill(self, number):
        return []

    def finish(self, seconds=0):
        return (0 if self.alone else self.status), "what was said"

    def left(self):
        return list(self.left_over)


def test_processes_that_a_killed_launcher_leaves_and_other_bits_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(isc, "Launched", Fake)
    monkeypatch.setattr(isc, "left_of_isc", lambda folder: {"history": b"same"})
    (tmp_path / "1").mkdir()
    assert isc.launcher_losses(tmp_path / "1") == []
    monkeypatch.setattr(Fake, "left_over", ("python -m stages.isc_track2.train",))
    monkeypatch.setattr(isc, "left_of_isc", lambda folder: {"history": folder.name})
    (tmp_path / "2").mkdir()
    found = isc.launcher_losses(tmp_path / "2")
    assert len(found) == 2 and "state.history" in found[1]
    assert found[0].startswith("a process is left: python")
    (tmp_path / "3").mkdir()
    found = isc._legacy_losses(tmp_path / "3", "python")  # it ends well though one was killed
    assert "with one process killed: status 0" in found[0] and len(found) == 3
    monkeypatch.setattr(Fake, "status", 1)
    (tmp_path / "4").mkdir()
    assert "started again: status 1" in isc.launcher_losses(tmp_path / "4")[1]
