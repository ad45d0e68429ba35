"""An application under gunicorn, in its own processes. Its port stays the same after a restart."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path


def free_port() -> int:
    """Return a port of this machine that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class Gunicorn:
    """An application under gunicorn in its own process group. Its error output goes to ``log``, or nowhere."""

    process: subprocess.Popen[bytes]

    def __init__(
        self, application: str, *arguments: str, environment: Mapping[str, str], log: Path | None = None
    ) -> None:
        self.port = free_port()
        self.command = [
            *(sys.executable, "-m", "gunicorn", application),
            *("-b", f"127.0.0.1:{self.port}", *arguments),
        ]
        self.environment = {**os.environ, **environment}
        self.log = log or Path(os.devnull)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, if it still runs."""
        self.process.terminate()
        self.process.wait(30)

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _answers(self) -> bool:
        client = self.connection()
        try:
            client.request("GET", "/")
            client.getresponse().read()
        except OSError:
            return False
        finally:
            client.close()
        return True
