"""gunicorn's configuration: each of its processes runs every operation once before it serves.

Otherwise the first requests of several threads would import the same modules at the same time, and some would fail.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.settings import competitor


def post_worker_init(worker: Any) -> None:
    """Run every operation of the competitor once, in a process that gunicorn has just started."""
    import_module("benchmarks.worker").Worker(competitor).check()  # imported now, because it needs the apps ready
