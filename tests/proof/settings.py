"""Settings of the project that these tests serve. The environment sets database, isolation, throttles and more."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import dj_database_url
from django.conf import global_settings

from tests.settings import *  # noqa: F403
from tests.settings import OPTIONS, TWOTOKEN

READ_COMMITTED, REPEATABLE_READ = "read committed", "repeatable read"
LIMIT = 5  # families per user


def configured(url: str, isolation: str, *, atomic: bool) -> dict[str, Any]:
    """Return Django's settings for a database."""
    values: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=600))
    engine = values["ENGINE"].rpartition(".")[2]
    level = isolation.replace(" ", "\\ ")
    options = {
        **OPTIONS,
        "postgresql": {"options": f"-c default_transaction_isolation={level}"},
        "mysql": {"isolation_level": isolation},
    }
    return {**values, "ATOMIC_REQUESTS": atomic, "OPTIONS": {**values.get("OPTIONS", {}), **options[engine]}}


DATABASES = {
    "default": configured(
        os.environ.get("DATABASE_URL", "sqlite://"),
        os.environ.get("PROOF_ISOLATION", READ_COMMITTED),
        atomic="PROOF_ATOMIC_REQUESTS" in os.environ,
    )
}
TWOTOKEN = {**TWOTOKEN, "MAX_FAMILIES_PER_USER": LIMIT, **json.loads(os.environ.get("PROOF_THROTTLES", "{}"))}
if "PROOF_REVOCATION_SECONDS" in os.environ:
    TWOTOKEN["REVOCATION_INTERVAL"] = timedelta(seconds=float(os.environ["PROOF_REVOCATION_SECONDS"]))
TWOTOKEN["ACCESS_LIFETIME"] = timedelta(seconds=float(os.environ.get("PROOF_ACCESS_SECONDS", "900")))
CACHES = json.loads(os.environ.get("PROOF_CACHES", "null")) or global_settings.CACHES
# The reader of the log looks for what went wrong.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "root": {"handlers": ["stderr"]},
}
