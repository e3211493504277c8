"""Push and pull against a real OpenSSH and a real Apache, set up by the commands of REPRODUCE.md."""

from __future__ import annotations

import re

import pytest

from tests.dvc.tiny_project import BIG, TinyProject, documented, finish, kill

OBJECT = re.compile(r"files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?")
MIDDLE = BIG // 2
UNFINISHED = re.compile(r"\.tmp$|/\.davfs\.tmp\w+$")


def finished(server):
    """{path: bytes} of the objects under their final names; whatever else lies there has a temporary one."""
    found = server.objects()
    assert all(OBJECT.fullmatch(path) or UNFINISHED.search(path) for path in found), sorted(found)
    return {path: data for path, data in found.items() if OBJECT.fullmatch(path)}


def the_big_object(server):
    return next(path for path, data in finished(server).items() if len(data) == BIG)


def in_its_middle(store, project, verb):
    """Start a transfer -> its process, when the store has passed on half of the big file."""
    store.gate.hold_after(MIDDLE)
    process = project.start(verb)
    if not store.gate.held.wait(60):
        kill(process)
        raise AssertionError("the transfer never came to its middle")
    return process


def whole_or_absent(server, pushed):
    """No object is half there."""
    sizes = sorted(len(data) for data in pushed.values())
    assert all(len(data) in sizes or path.endswith(".dir") for path, data in finished(server).items())


def test_what_was_pushed_comes_back_byte_by_byte(store, pushing, tmp_path):
    pushing.run("push")
    assert len(finished(store.server)) == 3  # two files and the list of them
    pulling = pushing.clone(tmp_path / "pulling")
    pulling.run("pull")
    assert pulling.files() == pushing.files() and len(pushing.files()) == 2


def test_wrong_credentials_push_nothing(store, pushing):
    store.wrong_credentials(pushing)
    status, text = pushing.call("push")
    assert status != 0 and re.search(r"Permission denied|401 \(Unauthorized\)", text), text
    assert store.server.objects() == {}


def test_wrong_credentials_pull_nothing(store, pulling):
    store.wrong_credentials(pulling)
    status, text = pulling.call("pull", "-v")
    assert status != 0 and re.search(r"Permission denied|401 \(Unauthorized\)", text), text
    assert pulling.files() == {}


@pytest.mark.parametrize("damage", ["a changed byte", "a lost end"])
def test_a_corrupt_object_is_refused_by_its_digest(store, pushing, pulling, damage):
    name = the_big_object(store.server)
    path = store.server.store / name
    data = bytearray(path.read_bytes())
    data[MIDDLE] ^= 1
    path.write_bytes(data if damage == "a changed byte" else data[:MIDDLE])
    status, text = pulling.call("pull", "-v")
    assert status == 1 and "Checkout failed" in text and "corrupted cache file" in text, text
    assert "big.bin" not in pulling.files()
    assert pushing.run("push").startswith("Everything is up to date")  # a push does not mend what is there
    path.write_bytes((pushing.folder / ".dvc" / "cache" / name).read_bytes())
    pulling.run("pull")
    assert pulling.files() == pushing.files()


def test_a_corrupt_object_would_be_taken_without_verify(store, pulling):
    path = store.server.store / the_big_object(store.server)
    path.write_bytes(bytes(BIG))
    pulling.run("remote", "modify", "--local", "lab", "verify", "false")
    pulling.run("pull")
    assert pulling.files()["big.bin"] == bytes(BIG)  # so the documented setting is what refuses it


def test_a_killed_push_leaves_no_half_object_and_is_finished_by_the_next(store, pushing):
    kill(in_its_middle(store, pushing, "push"))
    store.gate.open()
    whole_or_absent(store.server, pushing.files())
    assert not any(path.endswith(".dir") for path in finished(store.server))
    pushing.run("push")
    assert len(finished(store.server)) == 3
    whole_or_absent(store.server, pushing.files())


def test_a_killed_pull_leaves_nothing_half_and_is_finished_by_the_next(store, pushing, pulling):
    kill(in_its_middle(store, pulling, "pull"))
    store.gate.open()
    assert "big.bin" not in pulling.files()
    pulling.run("pull")
    assert pulling.files() == pushing.files()


def test_a_push_whose_server_goes_away_says_so_and_is_finished_by_the_next(store, pushing):
    process = in_its_middle(store, pushing, "push")
    store.server.kill()
    store.gate.open()
    status, text = finish(process)
    assert status == 1 and "failed to transfer" in text and "failed to push data to the cloud" in text, text
    whole_or_absent(store.server, pushing.files())
    store.server.start()
    pushing.run("push")
    assert len(finished(store.server)) == 3


def test_a_pull_whose_server_goes_away_says_so_and_is_finished_by_the_next(store, pushing, pulling):
    process = in_its_middle(store, pulling, "pull")
    store.server.kill()
    store.gate.open()
    status, text = finish(process)
    assert status != 0 and "failed to transfer" in text, text
    assert "big.bin" not in pulling.files()
    store.server.start()
    pulling.run("pull")
    assert pulling.files() == pushing.files()


def test_a_server_that_is_not_there_ends_both_with_an_error(store, pushing, pulling):
    store.server.kill()
    status, text = pulling.call("pull")
    assert status != 0 and "failed to" in text and pulling.files() == {}, text
    (pushing.folder / "data" / "small.txt").write_text("changed\n")
    pushing.run("commit", "--quiet", "--force")
    status, text = pushing.call("push")
    assert status != 0 and "ERROR" in text, text


def test_http_reads_the_store_that_webdav_wrote(webdav_store, tmp_path):
    reading = TinyProject(tmp_path / "reading").configure("https://", webdav_store.values)
    (reading.folder / "data.dvc").write_bytes((webdav_store.project.folder / "data.dvc").read_bytes())
    webdav_store.wrong_credentials(reading)
    status, text = reading.call("pull")
    assert status == 1 and "Checkout failed" in text and reading.files() == {}, text
    webdav_store.right_credentials(reading)
    reading.run("pull")
    assert reading.files() == webdav_store.project.files()
    (webdav_store.server.store / the_big_object(webdav_store.server)).write_bytes(bytes(BIG))
    another = reading.clone(tmp_path / "another")
    status, text = another.call("pull", "-v")
    assert status == 1 and "corrupted cache file" in text and "big.bin" not in another.files(), text


@pytest.mark.parametrize("scheme", ["/mnt/", "s3://", "gs://", "ssh://", "webdavs://", "https://"])
def test_every_documented_setting_is_one_that_dvc_knows(tmp_path, scheme):
    project = TinyProject(tmp_path / "project").configure(scheme, {})
    config = (project.folder / ".dvc" / "config.local").read_text()
    assert "verify = true" in config and "remote = lab" in config
    assert {words[4] for words in documented(scheme)[1:]} <= set(re.findall(r"^\s+(\w+) =", config, re.M))


def test_a_folder_as_a_store_refuses_a_corrupt_object_too(tmp_path):
    values = {"/mnt/lab/encore": str(tmp_path / "store")}
    pushing = TinyProject(tmp_path / "pushing").add().configure("/mnt/", values)
    pushing.run("push")
    pulling = pushing.clone(tmp_path / "pulling")
    pulling.run("pull")
    assert pulling.files() == pushing.files()
    big = next(path for path in (tmp_path / "store").glob("files/md5/*/*") if path.stat().st_size == BIG)
    big.chmod(0o644)
    big.write_bytes(bytes(BIG))
    another = pushing.clone(tmp_path / "another")
    status, text = another.call("pull", "-v")
    assert status == 1 and "corrupted cache file" in text and "big.bin" not in another.files(), text
