"""Runs nginx in front of a server, with the configuration in the docs."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.integrations.pages import block
from tests.server import free_port

NGINX = "/usr/sbin/nginx"
MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_bind 127.0.0.9;  # as if it were another machine
{server}
}}
"""


class Nginx:
    """An nginx process that forwards to one port, with the server block of the docs' page on proxies."""

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, certificate: Path, upstream: int, changes: dict[str, str] | None = None) -> None:
        self.folder, self.port = folder, free_port()
        server = block("../how-to/proxies", "server_name", "nginx")
        replaced = {
            "443": f"127.0.0.1:{self.port}",
            "server_name example.com;": "",
            "/etc/ssl/example.com.pem": str(certificate),
            **(changes or {}),
            "127.0.0.1:8000": f"127.0.0.1:{upstream}",
        }
        for before, after in replaced.items():
            assert before in server
            server = server.replace(before, after)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, server=server))

    def start(self) -> None:
        """Start nginx, and wait until it answers."""
        self.process = subprocess.Popen([NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "error.log").read_text()
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop nginx."""
        self.process.terminate()
        self.process.wait(30)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10).close()
        except urllib.error.HTTPError as error:  # a 400: this port speaks TLS
            error.close()
        except OSError:
            return False
        return True
