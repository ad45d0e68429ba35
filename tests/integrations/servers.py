"""Runs the tests' project under gunicorn and uvicorn. All servers use the tests' one database."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.server import Gunicorn

SAME_SITE, OTHER_SITE, API = "app.example.localhost", "other.localhost", "api.example.localhost"


class Served(Gunicorn):
    """The tests' project under gunicorn. The errors of its processes are in the file ``log``."""

    def __init__(
        self,
        database: Path,
        folder: Path,
        *arguments: str,
        application: str = "tests.wsgi",
        twotoken: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        **environment: str,
    ) -> None:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.integrations.served",
            "DATABASE_URL": f"sqlite:///{database}",
            "TEST_TWOTOKEN": json.dumps(twotoken or {}),
            "TEST_SETTINGS": json.dumps(settings or {}),
            **environment,
        }
        arguments = (*arguments, "--log-level", "error")
        super().__init__(application, *arguments, environment=environment, log=folder / "error.log")
        self.environment["TEST_FRONT_ENDS"] = os.environ.get(
            "TEST_FRONT_ENDS", f"{self.at(SAME_SITE)} {self.at(OTHER_SITE)}"
        )

    def at(self, host: str) -> str:
        """Return the server's origin with this host name."""
        return f"http://{host}:{self.port}"

    def errors(self) -> str:
        """Return the errors in the log."""
        return self.log.read_text()


class Uvicorn(Served):
    """The tests' project under uvicorn."""

    def __init__(self, database: Path, folder: Path, *arguments: str, **options: Any) -> None:
        super().__init__(database, folder, application="tests.integrations.asgi:application", **options)
        self.command = [
            *(sys.executable, "-m", "uvicorn", "tests.integrations.asgi:application"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning", *arguments),
        ]
