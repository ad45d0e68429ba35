"""Settings of the project that the tests' servers run. Environment variables name the front ends and more settings."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from tests.integrations.pages import settings_of
from tests.integrations.settings import *  # noqa: F403
from tests.integrations.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE, TWOTOKEN

ROOT_URLCONF = "tests.integrations.urls"
INSTALLED_APPS.remove("corsheaders")
vars().update(settings_of("cors", "CORS_ALLOW_CREDENTIALS", INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE))
CORS_ALLOWED_ORIGINS = CSRF_TRUSTED_ORIGINS = os.environ.get("TEST_FRONT_ENDS", "").split()
TWOTOKEN: dict[str, Any] = {  # type: ignore[no-redef]
    **TWOTOKEN,
    "ACCESS_LIFETIME": timedelta(seconds=int(os.environ.get("TEST_ACCESS_SECONDS", "900"))),
    **json.loads(os.environ.get("TEST_TWOTOKEN", "{}")),
}
vars().update(json.loads(os.environ.get("TEST_SETTINGS", "{}")))
DATABASES["default"]["CONN_MAX_AGE"] = int(os.environ.get("TEST_CONN_MAX_AGE", "0"))
# Tests read the log and expect no error in it.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "root": {"handlers": ["stderr"]},
}
