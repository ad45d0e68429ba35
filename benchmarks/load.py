"""Many connections at once to gunicorn. Client, workers and database share the processors, so only ratios tell."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.competitor import Answer, Call, Competitor, Tokens

ROOT = Path(__file__).parent.parent
STARTING = 20  # seconds that a server has to come up


@contextmanager
def server(environment: dict[str, str], workers: int) -> Iterator[int]:
    """Run gunicorn on a free port and yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = ["gunicorn", "--preload", "--workers", str(workers), "--bind", f"fd://{listener.fileno()}"]
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--log-level", "error", "benchmarks.wsgi"],
            cwd=ROOT,
            env=os.environ | environment,
            pass_fds=[listener.fileno()],
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STARTING)


async def exchange(port: int, call: Call) -> Answer:
    """Send one request on a connection of its own: gunicorn's plain workers keep none alive."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    headers = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": str(len(call.body)), **call.headers}
    lines = [f"{call.method} {call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + call.body)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *fields = head.decode("latin-1").split("\r\n")
    pairs = tuple((name, value) for name, _, value in (field.partition(": ") for field in fields))
    return Answer(int(status.split()[1]), pairs, body)


@dataclass
class Load:
    """The seconds of each request that was answered as it should be, and how many were not."""

    took: list[float]
    failed: int = 0


async def drive(port: int, competitor: Competitor, operation: str, sessions: list[Tokens], seconds: float) -> Load:
    """Keep one request of each session in flight for some seconds. A session that is refused is given up."""
    load = Load([])
    end = time.perf_counter() + seconds

    async def client(index: int) -> None:
        while (began := time.perf_counter()) < end:
            tokens = sessions[index]
            refresh = operation == "refresh"
            answer = await exchange(port, competitor.refresh(tokens) if refresh else competitor.get(operation, tokens))
            if answer.status != 200:
                load.failed += 1
                return
            load.took.append(time.perf_counter() - began)
            if refresh:
                sessions[index] = competitor.tokens(answer, tokens)

    async with asyncio.timeout(seconds + STARTING), asyncio.TaskGroup() as group:
        for index in range(len(sessions)):
            group.create_task(client(index))
    return load
