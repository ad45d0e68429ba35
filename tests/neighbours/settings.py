"""The tests' project with its neighbours installed. What a page of the docs sets is set by its test, from the page."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.neighbours.urls"
ALLOWED_HOSTS = ["testserver", ".localhost", "127.0.0.1"]
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.mfa",
    "axes",
    "corsheaders",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
]
MIDDLEWARE = [*MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
DATABASES = {"default": DATABASES["default"]}
AXES_ENABLED = False
