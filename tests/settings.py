"""Settings of the tests. The environment names the database and the user model."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import dj_database_url

SECRET_KEY = "a key that is for the tests only, and long enough"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "drf_spectacular",
    "twotoken",
    "tests.accounts",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
AUTH_USER_MODEL = {
    "default": "auth.User",
    "email": "accounts.EmailUser",
    "string": "accounts.StringUser",
}[os.environ.get("TWOTOKEN_TEST_USER", "default")]
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}  # a setting of Django 6.1 and newer
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["twotoken.authentication.AccessTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "SCHEMA_PATH_PREFIX": "/api",  # the URL of the keys is outside, so drf-spectacular would find no prefix
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # each run of the checks would describe all endpoints
}
TWOTOKEN: dict[str, Any] = {
    "ACCESS_SECRET": "access secret for the tests, of thirty-two bytes or more",
    "REFRESH_SECRET": "refresh secret for the tests, of thirty-two bytes or more",
    "LOGIN_THROTTLE": None,
    "REFRESH_THROTTLE": None,
}

# SQLite in a file, so that threads and processes share it. A fixture makes the folder and deletes it.
FOLDER = Path(tempfile.gettempdir(), f"twotoken-tests-{uuid4().hex}")
DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(os.environ.get("DATABASE_URL", f"sqlite:///{FOLDER}/db.sqlite3"))
}
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"  # tests need not survive a power failure
OPTIONS: dict[str, Any] = {"sqlite3": {"timeout": 30, "init_command": PRAGMAS}}
engine = DATABASES["default"]["ENGINE"].rpartition(".")[2]
DATABASES["default"]["OPTIONS"] = OPTIONS.get(engine, {})
# The alias is enough: no test may read the replica.
DATABASES["replica"] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}
DATABASES["default"]["TEST"] = {"NAME": str(FOLDER / "test.sqlite3") if engine == "sqlite3" else None}
