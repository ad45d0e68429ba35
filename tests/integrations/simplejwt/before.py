"""Settings of a project before its move, as in simplejwt's docs. Environment variables name database and blacklist."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

from tests.integrations.simplejwt.key import SECRET_KEY as SECRET_KEY

USE_TZ = True
ROOT_URLCONF = "tests.integrations.simplejwt.before_urls"
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework_simplejwt"]
REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"]}
SIMPLE_JWT: dict[str, Any] = {}
if "BLACKLIST" in os.environ:
    INSTALLED_APPS += ["rest_framework_simplejwt.token_blacklist"]
    SIMPLE_JWT |= {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True, "CHECK_REVOKE_TOKEN": True}
