import errno
import os
import sys
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

from encore.runtime import outside_fault, shared_memory
from encore.runtime.atomic import file_digest
from encore.runtime.outside_fault import advice
from encore.runtime.refusal import Refusal
from encore.runtime.shard_map import map_units
from encore.runtime.stage import run_stage


@pytest.mark.parametrize(
    "number, said",
    [
        (errno.ENOSPC, "the disk is full: make room"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EROFS, "a read-only file system"),
        (errno.EACCES, "not permitted"),
        (errno.EISDIR, "a folder where a file belongs: move the folder away, or name the file"),
        (errno.ENOTDIR, "a file stands where this path has a folder: move the file away"),
        (errno.EIO, "the disk reports an error"),
        (errno.EMFILE, "too many open files"),
        (errno.EFBIG, "limit on the size of a file"),
    ],
)
def test_each_error_of_the_system_says_where_and_what_to_do(number, said):
    line = advice(OSError(number, os.strerror(number), "data/x"))
    assert line.startswith("data/x: ") and said in line
    assert line.endswith("; then run the same command again to go on") and "\n" not in line


def test_errors_of_the_run_itself_are_not_the_machine_s():
    for error in (
        FileNotFoundError(errno.ENOENT, "none", "x"),
        ValueError("a"),
        RuntimeError("b"),
        OSError("c"),
    ):
        assert advice(error) is None


def test_the_error_behind_another_one_is_found():
    def end():
        raise RuntimeError("unexpected pos 64 vs 0")  # what torch.save makes of it

    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "weights.pth")
        except OSError:
            end()
    except RuntimeError as error:
        assert advice(error).startswith("weights.pth: the disk is full")


def test_an_error_that_was_dealt_with_is_not_to_blame():
    try:
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "/proc/1/environ")
        except PermissionError:
            raise KeyError("ours") from None
    except KeyError as error:
        assert advice(error) is None


def test_torch_s_own_words_for_too_many_open_files():
    said = "Too many open files. Communication with the workers is no longer possible. Please increase ..."
    with pytest.raises(RuntimeError) as failed:
        try:
            raise OSError(errno.EMFILE, "Too many open files")
        except OSError:
            raise RuntimeError(said) from None  # as torch.utils.data.dataloader does
    assert "too many open files: raise the limit (ulimit -n)" in advice(failed.value)


def test_a_write_cut_short_without_a_number(monkeypatch):
    error = OSError("100 requested and 20 written")  # numpy's
    monkeypatch.setattr(outside_fault, "_full_place", lambda: None)
    assert "limit on the size of a file" in advice(error)
    monkeypatch.setattr(outside_fault, "_full_place", lambda: "/somewhere")
    assert advice(error).startswith("/somewhere: the disk is full")
    assert "the disk is full" in advice(OSError("write failed: errno = 28, error message = 'No space'"))


def test_full_shared_memory_is_told_from_a_full_disk(monkeypatch):
    monkeypatch.setattr(outside_fault, "_full_place", lambda: shared_memory.PLACE)
    assert advice(OSError(errno.ENOSPC, "No space left on device")).startswith("no shared memory is left")
    said = "unable to allocate shared memory(shm) for file </torch_1_2>: No space left on device (28)"
    assert advice(RuntimeError(said)).startswith("no shared memory is left")


def test_a_full_place_is_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    usage = outside_fault.shutil.disk_usage(".")
    monkeypatch.setattr(outside_fault.shutil, "disk_usage", lambda place: usage._replace(free=10**9))
    assert outside_fault._full_place() is None
    monkeypatch.setattr(outside_fault.shutil, "disk_usage", lambda place: usage._replace(free=0))
    assert outside_fault._full_place() == os.getcwd()


def test_work_in_progress_on_another_disk_that_is_full(monkeypatch, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / ".work").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    usage = outside_fault.shutil.disk_usage(".")
    work = os.path.join(os.getcwd(), ".work")
    monkeypatch.setattr(
        outside_fault.shutil,
        "disk_usage",
        lambda place: usage._replace(free=0 if str(place) == work else 10**9),
    )
    error = OSError(errno.ENOSPC, "No space left on device")
    assert advice(error).startswith(work + ": the disk is full: make room")
    monkeypatch.setattr(outside_fault.shutil, "disk_usage", lambda place: usage._replace(free=10**9))
    assert advice(error).startswith(os.getcwd() + ": the disk is full")


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path):
    with pytest.raises(IsADirectoryError) as found:
        file_digest(tmp_path)
    assert advice(found.value).startswith(str(tmp_path) + ": a folder where a file belongs: ")


def test_killed_workers_and_full_memory():
    assert "a worker process was killed" in advice(BrokenProcessPool("terminated abruptly"))
    assert "a worker process was killed" in advice(
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")
    )
    assert advice(MemoryError()).startswith("the memory is full")


def test_a_batch_cut_off_on_its_way_from_a_worker():
    program = compile("raise EOFError", "/somewhere/torch/utils/data/dataloader.py", "exec")
    with pytest.raises(EOFError) as cut:
        exec(program)
    assert "a worker process was killed" in advice(cut.value)
    with pytest.raises(EOFError) as of_a_file:
        raise EOFError
    assert advice(of_a_file.value) is None


def test_a_worker_that_is_really_killed_ends_the_stage_with_one_line(capsys, monkeypatch):
    monkeypatch.setattr(outside_fault, "say_once", lambda: None)  # it is for a process of its own

    def stage():
        list(map_units(lambda: lambda unit: os.kill(os.getpid(), 9), range(4), 2))

    with pytest.raises(SystemExit) as ended:
        run_stage(stage)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("encore: a worker process was killed") and error.count("\n") == 1


def test_a_refusal_and_an_error_of_ours_stay_what_they_are(monkeypatch):
    monkeypatch.setattr(outside_fault, "say_once", lambda: None)

    def refuse():
        raise Refusal("no")

    def fail():
        raise KeyError("ours")

    with pytest.raises(SystemExit):
        run_stage(refuse)
    with pytest.raises(KeyError):
        run_stage(fail)


@pytest.mark.skipif(not hasattr(threading, "excepthook"), reason="Python 3.8 and later")
def test_in_another_thread_it_is_one_line_of_warning(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    outside_fault.say_once()

    def fail(error):
        raise error

    for error in (OSError(errno.ENOSPC, "full", "events"), KeyError("ours")):
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()
    assert [type(one.exc_value) for one in told] == [KeyError]
    assert capsys.readouterr().err.startswith("encore: warning: events: the disk is full")


@pytest.mark.skipif(not hasattr(sys, "unraisablehook"), reason="Python 3.8 and later")
def test_in_a_destructor_only_what_is_ours_is_told(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: told.append(found.exc_type))
    outside_fault.say_once()

    class Failing:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            raise self.error

    Failing(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
    Failing(KeyError("ours"))
    assert told == [KeyError]
