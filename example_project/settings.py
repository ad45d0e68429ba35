"""Settings of the example. Secrets come from the environment or from demo.env, which ``manage.py demo`` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
import django

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = BASE_DIR / "demo.env"


def read_env(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; an empty dict if the file is missing."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def token_secrets(values: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of TWOTOKEN that have a value. ``manage.py check`` reports those that are missing."""
    names = {"ACCESS_SECRET": "JWT_ACCESS_SECRET", "REFRESH_SECRET": "JWT_REFRESH_SECRET"}
    return {key: values[name] for key, name in names.items() if values.get(name)}


env = {**read_env(ENV_FILE), **os.environ}

DEBUG = env.get("DJANGO_DEBUG", "1") == "1"
SECRET_KEY = env.get("DJANGO_SECRET_KEY", "insecure until manage.py demo has made one" if DEBUG else "")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "twotoken",
    "example_project",
]

# Django has the middleware since version 6.0. For 5.2 the example has its own, which sends the same header.
CSP_MIDDLEWARE = (
    "django.middleware.csp.ContentSecurityPolicyMiddleware"
    if django.VERSION >= (6, 0)
    else "example_project.csp.ContentSecurityPolicyMiddleware"
)
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    CSP_MIDDLEWARE,
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Every script, style and image must come from a file of this server. So an injected script does not run.
SECURE_CSP = {
    "default-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
}

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

DATABASES = {"default": dj_database_url.parse(env.get("DATABASE_URL", f"sqlite:///{BASE_DIR / 'demo.sqlite3'}"))}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL",
        "transaction_mode": "IMMEDIATE",
    }

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["twotoken.authentication.AccessTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

TWOTOKEN: dict[str, Any] = {
    **token_secrets(env),
    # Short, so that you can watch the token expire. The default is 15 minutes.
    "ACCESS_LIFETIME": timedelta(seconds=int(env.get("DEMO_ACCESS_SECONDS", "10"))),
    "ACCESS_CLAIMS": "example_project.claims.access_claims",
    # The demo uses plain HTTP.
    "COOKIE_SECURE": not DEBUG,
}

# The demo page logs this user in, so that you can play a theft. Everybody who opens the page can read the password.
VICTIM = {"username": "ann", "password": env.get("VICTIM_PASSWORD", "")}

SPECTACULAR_SETTINGS = {
    "TITLE": "The example of twotoken",
    "DESCRIPTION": (
        "Browsers log in at `/api/auth/`, apps at `/api/app/auth/`. After a login or a refresh on this page, Swagger "
        "UI sends the new access token. Enter a token from elsewhere under *Authorize*. Access tokens live for "
        f"{int(TWOTOKEN['ACCESS_LIFETIME'].total_seconds())} seconds here. For 15 minutes, set "
        "`DEMO_ACCESS_SECONDS=900` in the environment of `manage.py demo`."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    # Serve Swagger UI from the project's own static files, not from another server.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": """{
        deepLinking: true,
        responseInterceptor: (response) => {
            if (response.body?.access) ui.preauthorizeApiKey("jwtAuth", response.body.access);
            return response;
        },
    }""",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"twotoken": {"handlers": ["console"], "level": "INFO"}},
}
