"""Django settings of a worker's process: the same for every competitor, plus the competitor's own settings."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

from benchmarks.competitor import SECRET, all_competitors

competitor = all_competitors()[os.environ["BENCHMARKS_COMPETITOR"]]

SECRET_KEY = f"key {SECRET}"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "root": {"level": "ERROR", "handlers": ["stderr"]},
}
INSTALLED_APPS = list(
    dict.fromkeys(["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", *competitor.apps])
)
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    *competitor.middleware,
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410"]  # about middleware that the list doesn't need
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(os.environ["BENCHMARKS_DATABASE"], conn_max_age=None)}
DATABASES["default"]["TEST"] = {"NAME": os.environ["BENCHMARKS_NAME"]}
# No commit waits for the disk, or its time would hide what the packages do. MariaDB can't be told per connection.
DATABASES["default"]["OPTIONS"] = {
    "django.db.backends.postgresql": {"options": "-c synchronous_commit=off"},
    "django.db.backends.sqlite3": {
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    },
}.get(DATABASES["default"]["ENGINE"], {})
if "BENCHMARKS_PREPARED" in os.environ:  # only on PostgreSQL
    DATABASES["default"]["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": 5}
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
}
for name, value in competitor.settings.items():
    globals()[name] = globals()[name] | value if isinstance(globals().get(name), dict) else value
