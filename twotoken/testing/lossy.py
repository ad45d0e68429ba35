"""A bad network for tests of clients: the server handles each request, but the client does not get some answers."""

from __future__ import annotations

import http.client
import socket
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
TIMEOUT = 60  # seconds


class LossyProxy:
    """A proxy that passes every request to a server, but closes the connection instead of sending every fifth answer.

    Use the proxy in a ``with`` statement, and let the client call ``proxy.url``. ``server`` is the server's URL, such
    as that of pytest-django's ``live_server``; it must be http. With ``every=3`` every third answer is lost, with
    ``every=1`` all are lost. ``requests`` and ``lost`` count the requests and the lost answers by path.
    """

    def __init__(self, server: str, *, every: int = 5) -> None:
        address = urlsplit(server)
        self.server = (address.hostname or "", address.port or 80)
        self.every = every
        self.requests: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._numbers = count(1)
        self._lock = Lock()
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def loses(self, path: str) -> bool:
        """Count an answer, and tell whether it is lost. A subclass may choose which answers are lost."""
        with self._lock:
            is_lost = next(self._numbers) % self.every == 0
            self.requests[path] += 1
            self.lost[path] += is_lost
        return is_lost

    def forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Pass a request on to the server, and return the status, headers and body of its answer.

        A subclass may return another answer instead.
        """
        upstream = http.client.HTTPConnection(*self.server, timeout=TIMEOUT)
        try:
            headers = {**dict(request.headers.items()), "Connection": "close"}
            upstream.request(request.command, request.path, body, headers)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: in these tests clients disconnect and servers stop."""


class _Handler(BaseHTTPRequestHandler):
    proxy: LossyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        """Forward a request to the server. Send the answer back or, if ``loses`` says so, close the connection."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, content = self.proxy.forward(self, body)
        if self.proxy.loses(urlsplit(self.path).path):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - names of http.server
