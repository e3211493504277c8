"""Real servers on loopback, run by any user: OpenSSH for SFTP, Apache for WebDAV and HTTP."""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SSHD, KEYGEN, APACHE = "/usr/sbin/sshd", "/usr/bin/ssh-keygen", "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
USER, PASSWORD = "reader", "correct horse"
SECONDS_TO_START = 20

SSHD_CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
"""

APACHE_CONFIG = """ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
User {user}
Group {group}
StartServers 1
{modules}
DocumentRoot {folder}/www
DavLockDB {folder}/locks/db
<Directory {folder}/www>
  Dav On
  AuthType Basic
  AuthName artefacts
  AuthBasicProvider file
  AuthUserFile {folder}/passwords
  Require valid-user
</Directory>
"""
APACHE_MODULES = (
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "dav",
    "dav_fs",
)


def missing(*programs):
    """Why a server cannot be started here, or None."""
    lacking = [program for program in programs if not os.access(program, os.X_OK)]
    packages = {SSHD: "openssh-server", APACHE: "apache2", KEYGEN: "openssh-client"}
    named = ", ".join(sorted({packages[program] for program in lacking}))
    return f"needs the Debian packages {named}" if lacking else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def children(pid):
    """Every process below `pid`, those that moved to a session of their own included."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = list(parents.get(pid, []))
    for child in found:
        found += parents.get(child, [])
    return found


class Server:
    """One server process with its files in `folder`; `store` is the folder that it serves."""

    command: tuple[str, ...]

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None

    def start(self):
        """Start the server, and return when it answers."""
        with open(self.folder / "output.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(10 * SECONDS_TO_START):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise AssertionError((self.folder / "output.log").read_text(errors="replace"))

    def kill(self):
        """End the server and every connection that it holds, at once."""
        if self.process is None:
            return
        for pid in [self.process.pid, *children(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None

    def objects(self):
        """{path: bytes} of the files in the store."""
        paths = (path for path in self.store.rglob("*") if path.is_file() and ".DAV" not in path.parts)
        return {path.relative_to(self.store).as_posix(): path.read_bytes() for path in paths}

    def holds(self, objects):
        """Let the store hold these objects and nothing else, and the server run."""
        for path in self.store.iterdir():
            shutil.rmtree(path)
        for path, data in objects.items():
            (self.store / path).parent.mkdir(parents=True, exist_ok=True)
            (self.store / path).write_bytes(data)
        self.own(self.store)
        if self.process is None:
            self.start()

    def own(self, folder):
        """Give a folder and what is in it to whom the server runs as."""


class SshServer(Server):
    """OpenSSH with a host key and an authorised key of its own; `stranger` is a key that it does not know."""

    name = "ssh"

    def __init__(self, folder):
        super().__init__(folder)
        self.store = folder / "store"
        self.store.mkdir()
        for key in ("host_key", "friend", "stranger"):
            command = [KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / key)]
            subprocess.run(command, check=True)
        shutil.copy(folder / "friend.pub", folder / "authorized_keys")
        config = folder / "sshd_config"
        config.write_text(SSHD_CONFIG.format(port=self.port, folder=folder))
        if os.getuid() == 0:  # where its unprivileged half lives; root's own server has made it long ago
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.command = (SSHD, "-D", "-e", "-f", str(config))

    def values(self, port):
        """What stands in the place of the documented names, behind the gate at `port`."""
        return {
            "ssh://me@server.example/srv/encore": f"ssh://{getpass.getuser()}@127.0.0.1:{port}{self.store}",
            "~/.ssh/id_ed25519": str(self.folder / "friend"),
        }

    def wrong_credentials(self):
        return {str(self.folder / "friend"): str(self.folder / "stranger")}


class DavServer(Server):
    """Apache with WebDAV behind a password. Started by root it serves as www-data, who owns the store."""

    name = "webdav"

    def __init__(self, folder):
        super().__init__(folder)
        self.store = folder / "www" / "encore"
        self.store.mkdir(parents=True)
        locks = folder / "locks"
        locks.mkdir()
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        (folder / "passwords").write_text(f"{USER}:{{SHA}}{digest}\n")
        self.own(folder / "www")
        self.own(locks)
        modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE_MODULES)
        config = folder / "apache.conf"
        names = {"folder": folder, "port": self.port, "modules": modules}
        config.write_text(APACHE_CONFIG.format(user="www-data", group="www-data", **names))
        self.command = (APACHE, "-D", "FOREGROUND", "-f", str(config))

    def own(self, folder):
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, "www-data", "www-data")

    def values(self, port):
        """What stands in the place of the documented names, behind the gate at `port`."""
        return {
            "webdavs://server.example/encore": f"webdav://127.0.0.1:{port}/encore",
            "https://server.example/encore": f"http://127.0.0.1:{port}/encore",
            "USER": USER,
            "PASSWORD": PASSWORD,
        }

    def wrong_credentials(self):
        return {PASSWORD: "battery staple"}
