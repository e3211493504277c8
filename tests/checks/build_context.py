"""What `docker build` sends: the real client and its rules, with a daemon that only takes the files."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import socketserver
import subprocess
import tarfile
import threading


class Taker(http.server.BaseHTTPRequestHandler):
    """Answers the client of docker as far as `build` of the classic builder asks, and keeps what it sends."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(b"", body=False)

    def do_GET(self):
        self._answer(b'{"ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux"}')

    def do_POST(self):
        data = self._body()
        if "/build" in self.path:
            self.server.sent = data
        self._answer(b'{"stream":"taken"}\n{"aux":{"ID":"sha256:0"}}\n')

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"

    def _body(self):
        parts = []
        while True:
            size = int(self.rfile.readline(), 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(parts)

    def _answer(self, data, body=True):
        self.send_response(200)
        for name, value in (("Api-Version", "1.41"), ("Ostype", "linux"), ("Builder-Version", "1")):
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


class Daemon(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    sent = None


@contextlib.contextmanager
def _serving(path):
    with Daemon(str(path), Taker) as daemon:
        thread = threading.Thread(target=daemon.serve_forever, daemon=True)
        thread.start()
        yield daemon
        daemon.shutdown()
        thread.join()


def sent_by_build(folder, dockerfile, place):
    """{path: bytes} of the files that `docker build -f dockerfile folder` sends. place: a folder for the
    socket."""
    place.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "DOCKER_CONFIG": str(place),
        "DOCKER_BUILDKIT": "0",
        "DOCKER_HOST": f"unix://{place}/d",
    }
    with _serving(place / "d") as daemon:
        done = subprocess.run(
            ["docker", "build", "--quiet", "-f", str(folder / dockerfile), str(folder)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert daemon.sent is not None, done.stderr
    with tarfile.open(fileobj=io.BytesIO(daemon.sent)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
