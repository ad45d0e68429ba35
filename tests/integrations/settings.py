"""The tests' project with every package that we integrate with. What a page of the docs sets comes from the page."""

from __future__ import annotations

from tests.integrations.pages import settings_of
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

ALLOWED_HOSTS = ["testserver", ".localhost", "127.0.0.1"]
DATABASES = {"default": DATABASES["default"]}

vars().update(settings_of("allauth", "HEADLESS_TOKEN_STRATEGY", INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE))
INSTALLED_APPS += [
    "axes",
    "corsheaders",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
]
AXES_ENABLED = False
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
