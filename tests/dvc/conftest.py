"""The servers and the tiny projects of the tests below."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dvc.artefact_servers import APACHE, KEYGEN, SSHD, DavServer, SshServer, missing
from tests.dvc.gate import Gate
from tests.dvc.tiny_project import TinyProject
from tests.outside_programs import lacking


class Store:
    """A server behind its gate; `project` is set up for it by the documented commands and has data, `pushed`
    are the objects that its push leaves in the store."""

    def __init__(self, server, scheme, folder):
        self.server = server
        self.gate = Gate(server.port)
        self.values = server.values(self.gate.port)
        self.project = TinyProject(folder / "project").add().configure(scheme, self.values)
        self.project.run("push")
        self.pushed = server.objects()

    def wrong_credentials(self, project):
        project.replace_setting(self.server.wrong_credentials())

    def right_credentials(self, project):
        project.replace_setting({new: old for old, new in self.server.wrong_credentials().items()})


def skip_without(*programs):
    """Skip (in CI fail) a test where a server is not installed."""
    reason = missing(*programs)
    if reason:
        lacking(reason)


@contextmanager
def serving(kind, scheme, projects):
    """The Store of a server, in a folder that its unprivileged half can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="encore-store-"))
    folder.chmod(0o755)
    server = kind(folder)
    try:
        server.start()
        store = Store(server, scheme, projects)
        yield store
        store.gate.close()
    finally:
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory):
    skip_without(SSHD, KEYGEN)
    with serving(SshServer, "ssh://", tmp_path_factory.mktemp("ssh")) as store:
        yield store


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory):
    skip_without(APACHE)
    with serving(DavServer, "webdavs://", tmp_path_factory.mktemp("webdav")) as store:
        yield store


@pytest.fixture
def webdav_store(webdav_server):
    """The WebDAV server with what a push leaves there."""
    webdav_server.gate.open()
    webdav_server.server.holds(webdav_server.pushed)
    return webdav_server


@pytest.fixture(params=["ssh", "webdav"])
def store(request):
    """Each kind of server in turn, with an empty store."""
    store = request.getfixturevalue(f"{request.param}_server")
    store.gate.open()
    store.server.holds({})
    return store


@pytest.fixture
def pushing(store, tmp_path):
    """A project with data and the store's settings."""
    return store.project.copy(tmp_path / "pushing")


@pytest.fixture
def pulling(store, pushing, tmp_path):
    """A project that has nothing yet, and the other one's data in the store."""
    store.server.holds(store.pushed)
    return pushing.clone(tmp_path / "pulling")
