"""The running service answers as its OpenAPI description says, whatever Schemathesis sends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.conftest import FULL, Tried
from tests.server import Gunicorn

ROOT = Path(__file__).parent.parent.parent
USER, PASSWORD = "ann", "a password of some length"
EXAMPLES = 150 if FULL else 40
MOUNTS = {"cookie": "^/api/auth/", "body": "^/api/app/auth/", "none": "^/api/tool/auth/"}


def manage(server: Gunicorn, *arguments: str) -> None:
    """Run a management command of the service."""
    subprocess.run([sys.executable, "-m", "django", *arguments], env=server.environment, check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the file that the OpenAPI description is written to."""
    return tmp_path_factory.mktemp("openapi") / "schema.yml"


@pytest.fixture(scope="module")
def server(description: Path) -> Iterator[Gunicorn]:
    """Serve the tests' project with a mount for each delivery, and create a user."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.proof.settings",
        "DATABASE_URL": f"sqlite:///{description.parent}/db.sqlite3",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    server = Gunicorn("tests.wsgi", "-w", "1", "--threads", "8", environment=environment)
    manage(server, "migrate", "-v0")
    manage(server, "createsuperuser", "-v0", "--noinput", "--username", USER, "--email", "ann@example.com")
    manage(server, "spectacular", "--file", str(description))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_service_answers_as_described(server: Gunicorn, description: Path, mount: str, tried: Tried) -> None:
    """Each answer has a status, type, body and headers as described. Wrong data and a missing token are refused."""
    url = f"http://127.0.0.1:{server.port}"
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.proof.callers",
        "API_URL": url,
        "API_USER": USER,
        "API_PASSWORD": PASSWORD,
    }
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests/proof/schemathesis.toml")),
        *("run", str(description), "--url", url, "--include-path-regex", MOUNTS[mount], "--no-color"),
        *("--max-examples", str(EXAMPLES)),
        *([] if FULL else ["--generation-deterministic"]),
    ]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.search(r"(\d+) generated, \1 passed", run.stdout)
    assert found, run.stdout
    tried(f"described calls: {mount}", int(found[1]))
