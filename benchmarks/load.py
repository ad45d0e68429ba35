"""A competitor's application under gunicorn, and the requests that clients send to it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.competitor import Answer, Call

WORKERS, THREADS, CLIENTS = 2, 4, 8
PATIENCE = 60  # seconds that a server may take to start, or to answer a request
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


class Gunicorn:
    """A gunicorn server, with the same number of workers and threads for every competitor."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()", "--keep-alive", "75"]
        command += ["-w", f"{WORKERS}", "-k", "gthread", "--threads", f"{THREADS}"]
        command += ["-b", f"127.0.0.1:{self.port}", "--log-level", "error", "--graceful-timeout", "1"]
        command += ["--preload", "-c", "python:benchmarks.warm"]
        self.process = subprocess.Popen(command, env={**os.environ, **environment})

    def wait(self) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                send(self.connect(), Call("GET", "/get/none/"))
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection. The first request opens the connection, and it stays open."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def stop(self) -> None:
        """Stop the server, and wait until it has ended: before its end, its database can't be dropped."""
        self.process.terminate()
        self.process.wait(PATIENCE)


def send(connection: http.client.HTTPConnection, call: Call) -> Answer:
    """Send a request and read the whole answer."""
    headers = {"User-Agent": BROWSER, "Accept": "application/json", **call.headers}
    connection.request(call.method, call.path, call.body, headers)
    response = connection.getresponse()
    return Answer(response.status, tuple(response.getheaders()), response.read())
