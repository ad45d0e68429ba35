"""A key server, which answers correctly or not, and a clock for its clients."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Handler(BaseHTTPRequestHandler):
    """Answers with the method that its server's ``behaviour`` names."""

    server: KeyServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.called.set()
        try:
            getattr(self, self.server.behaviour)()
        except OSError:  # the client has given up
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Log nothing."""

    def answer(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send an answer, with its length."""
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def well(self) -> None:
        """Answer with the keys."""
        self.answer(self.server.document)

    def restricted(self) -> None:
        """Answer only requests with an Authorization header."""
        self.answer(self.server.document, 200 if self.headers["Authorization"] else 401)

    def hang(self) -> None:
        """Send no answer until the test ends."""
        self.server.go.wait(30)

    def drip(self) -> None:
        """Send a byte every now and then, so that no single read takes long."""
        if self.server.behaviour == "drip":
            self.send_response(200)
            self.end_headers()
        while not self.server.go.wait(0.02):
            self.wfile.write(b" ")

    def dawdle(self) -> None:
        """Send a header byte every now and then."""
        self.send_response(200)
        self.wfile.write(b"X: ")
        self.drip()

    def huge(self) -> None:
        """Send ten megabytes."""
        self.answer(b" " * 10_000_000 + self.server.document)

    def nonsense(self) -> None:
        """Send a page in HTML."""
        self.answer(b"<html>Welcome to the hotel's network</html>")

    def garbage(self) -> None:
        """Send bytes that are not HTTP."""
        self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

    def broken(self) -> None:
        """Send a 500 with the keys as its body."""
        self.answer(self.server.document, 500)

    def partial(self) -> None:
        """Send a 206, a success that is not a 200."""
        self.answer(self.server.document, 206)

    def unchanged(self) -> None:
        """Send a 304, as for keys that have not changed (RFC 9110 section 15.4.5)."""
        self.answer(b"", 304, {"ETag": '"1"'})

    def redirect(self) -> None:
        """Redirect to another address, which redirects again."""
        self.answer(b"", 302, {"Location": f"/elsewhere/{len(self.server.asked)}"})


class KeyServer(ThreadingHTTPServer):
    """A key server. ``behaviour`` names the handler's method that answers. ``asked`` lists the requested paths."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/.well-known/jwks.json"
        self.behaviour = "well"
        self.document = b""
        self.asked: list[str] = []
        self.called, self.go = threading.Event(), threading.Event()

    def publish(self, keys: Sequence[Mapping[str, Any]]) -> None:
        """Publish these JWKs from now on."""
        self.document = json.dumps({"keys": keys}).encode()


@contextmanager
def running_key_server() -> Iterator[KeyServer]:
    """Run a key server at a free port, and hide CA certificates, which urllib reads even for plain HTTP."""
    with KeyServer() as server, patch.dict(os.environ, {"SSL_CERT_FILE": os.devnull}):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.002})
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()
