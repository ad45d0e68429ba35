"""The project behind a proxy that ends TLS, in this process. The proxy can lose or change parts of a request."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.handlers.wsgi import WSGIHandler
from django.db import connections

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True)
class Proxy:
    """What a proxy does to a request and its answer. By default a proxy only adds X-Forwarded-Proto."""

    sends_scheme: bool = True
    keeps_host: bool = True
    strips: str = ""
    address: str = ""
    status: str = ""  # the proxy answers with this status itself
    fails_at: str = ""
    keeps_one_cookie: bool = False
    spoils_access: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    def around(self, application: Application) -> Application:
        """Return an application behind this proxy."""

        def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            status = "503 Busy" if self.fails_at and environ["PATH_INFO"].endswith(self.fails_at) else self.status
            if status:
                # Closing a connection with an unread body resets it, which can cut the answer short.
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response(status, list(self.headers))
                return [b"[" * 99_999]
            if self.keeps_one_cookie:
                environ["HTTP_COOKIE"] = environ.get("HTTP_COOKIE", "").partition(";")[0]
            if self.sends_scheme:
                environ["HTTP_X_FORWARDED_PROTO"] = "https"
            if not self.keeps_host:
                environ["HTTP_HOST"] = "127.0.0.1:9"
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(self.strips)
            if self.address:
                environ["HTTP_X_FORWARDED_FOR"] = environ["REMOTE_ADDR"]
                environ["REMOTE_ADDR"] = self.address
            answer = application(environ, start_response)
            if not self.spoils_access:
                return answer
            return [part.replace(b'"access":"e', b'"access":"x') for part in answer]

        return call


class _Server(ThreadingMixIn, WSGIServer):
    def process_request_thread(self, *args: Any) -> None:
        """Handle a request, and close its thread's connections to the database: each request has its own thread."""
        try:
            super().process_request_thread(*args)
        finally:
            connections.close_all()


class _Handler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def behind(proxy: Proxy, certificate: Path | None) -> Iterator[int]:
    """Serve the project with its current settings, over TLS if there is a certificate, and yield the port."""
    server = make_server("127.0.0.1", 0, proxy.around(WSGIHandler()), _Server, _Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.002})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
