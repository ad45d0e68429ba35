"""A script in which many threads or tasks share one TokenAuth. It runs until its stdin ends, and uses no Django.

``python -m tests.proof.script usual-httpx http://127.0.0.1:8000 session 13`` reads its credentials from stdin, as JSON.
The script prints unexpected answers and errors to stderr. It prints ``ready`` to stdout after the first good answer,
and ``done`` at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from secrets import token_hex
from typing import Any

import httpx
import requests

from twotoken.contrib import httpx as for_httpx
from twotoken.contrib import requests as for_requests
from twotoken.contrib.scripts import FileStore, TokenAuthError, TokenProtocol

PATIENCE = 120
SHORT, LONG = 0.2, 1.5  # seconds between requests


class Hasty(TokenProtocol):
    """Drops the key after each answer, so each refresh rotates. This is safe, because the proxy delays no request."""

    key_kept = 0


class HastyHttpx(for_httpx.TokenAuth):
    """The TokenAuth for httpx that makes a new Idempotency-Key for each refresh."""

    protocol_class = Hasty


class HastyRequests(for_requests.TokenAuth):
    """The TokenAuth for requests that makes a new Idempotency-Key for each refresh."""

    protocol_class = Hasty


class Script:
    """Sends requests until it is told to stop, and reports each answer that is neither a 200 nor lost."""

    def __init__(self, kind: str, server: str, credentials: Any, path: str) -> None:
        manner, client = kind.split("-")
        is_hasty = manner == "hasty"
        adapters: Any = {"requests": HastyRequests if is_hasty else for_requests.TokenAuth}
        adapter = adapters.get(client, HastyHttpx if is_hasty else for_httpx.TokenAuth)
        self.auth: Any = adapter(
            f"{server}/api/app/auth/",
            credentials=credentials,
            store=FileStore(path),
            patience=PATIENCE,
            timeout=30,
            dpop=manner == "bound",
        )
        self.url = f"{server}/api/stateless/"
        self.stopped = threading.Event()
        self.is_ready = False

    def judge(self, status: int) -> None:
        """Report an answer that is not a 200. Print ``ready`` after the first 200."""
        if status != 200:
            print(f"an answer was {status}", file=sys.stderr, flush=True)
        elif not self.is_ready:
            self.is_ready = True
            print("ready", flush=True)

    def blame(self, error: TokenAuthError) -> None:
        """Report an error and stop the script."""
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        self.stopped.set()

    def stop_with_stdin(self) -> None:
        """Stop the script when stdin ends."""
        sys.stdin.read()
        self.stopped.set()

    def with_httpx(self) -> None:
        """Send requests in a thread, with the library httpx."""
        with httpx.Client(auth=self.auth, timeout=60) as client:
            while not self.stopped.is_set():
                try:
                    self.judge(client.get(self.url, headers=new_request()).status_code)
                except TokenAuthError as error:
                    self.blame(error)
                except httpx.TransportError:
                    continue  # its own answer was lost, and that is for the program to judge
                time.sleep(random.uniform(SHORT, LONG))

    def with_requests(self) -> None:
        """Send requests in a thread, with the library requests."""
        with requests.Session() as session:
            session.auth = self.auth
            while not self.stopped.is_set():
                try:
                    self.judge(session.get(self.url, headers=new_request(), timeout=60).status_code)
                except TokenAuthError as error:
                    self.blame(error)
                except requests.ConnectionError:
                    continue
                time.sleep(random.uniform(SHORT, LONG))

    async def with_tasks(self, number: int) -> None:
        """Send requests in many tasks."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(auth=self.auth, timeout=60, limits=limits) as client:
            await asyncio.gather(*[self.task(client) for _ in range(number)])

    async def task(self, client: httpx.AsyncClient) -> None:
        """Send requests in a task."""
        while not self.stopped.is_set():
            try:
                self.judge((await client.get(self.url, headers=new_request())).status_code)
            except TokenAuthError as error:
                self.blame(error)
            except httpx.TransportError:
                continue
            await asyncio.sleep(random.uniform(SHORT, LONG))

    def run(self, kind: str, number: int) -> None:
        """Send requests in this many threads or tasks until the script stops."""
        threading.Thread(target=self.stop_with_stdin).start()
        if kind.endswith("async"):
            asyncio.run(self.with_tasks(number))
            return
        work = self.with_requests if kind.endswith("requests") else self.with_httpx
        threads = [threading.Thread(target=work) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def new_request() -> dict[str, str]:
    """Return a header with a request's unique id, by which the proxy refuses the request only once."""
    return {"X-Request": token_hex(8)}


if __name__ == "__main__":
    kind, server, path, number = sys.argv[1:]
    Script(kind, server, json.loads(sys.stdin.readline()), path).run(kind, int(number))
    print("done", flush=True)
