"""A proxy on loopback in front of a server, which can hold a transfer in its middle."""

from __future__ import annotations

import contextlib
import socket
import threading

BLOCK = 16384


class Gate:
    """Passes every byte between clients and the server at `port`. After `hold_after` it passes that many
    bytes, then nothing, and sets `held`; `open` cuts the connections that it holds (what is on its way is
    lost, as on a broken line) and lets new ones pass."""

    def __init__(self, port):
        self.upstream = port
        self.held, self._opened, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._left = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_after(self, count):
        """From now on, pass `count` bytes and no more."""
        with self._lock:
            self._left = count
        self.held.clear()
        self._opened.clear()

    def open(self):
        """Cut what is held, and pass everything from now on."""
        with self._lock:
            self._left = None
        self._opened.set()

    def close(self):
        self.open()
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.upstream))
        except OSError:
            client.close()  # nobody listens behind the gate: as a port without a server
            return
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            block = source.recv(BLOCK)
            while block and self._passes(len(block)):
                target.sendall(block)
                block = source.recv(BLOCK)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _passes(self, count):
        """Whether `count` more bytes may pass; for those that may not it waits until the gate is opened."""
        with self._lock:
            if self._left is None:
                return True
            self._left -= count
            if self._left > 0:
                return True
        self.held.set()
        self._opened.wait()
        return False
