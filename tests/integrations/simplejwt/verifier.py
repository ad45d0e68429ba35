"""Settings of another service, which uses simplejwt to verify tokens of simplejwt and twotoken, as in the docs."""

from __future__ import annotations

import os

from tests.integrations.pages import module_of

SECRET_KEY = "a key of the other service, which signs nothing here"
USE_TZ = True
ROOT_URLCONF = "tests.integrations.simplejwt.verifier"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework_simplejwt"]
settings = module_of("../how-to/from-simplejwt", "AUTH_TOKEN_CLASSES", "shown_verifier_settings")
SIMPLE_JWT = {**settings.SIMPLE_JWT, "SIGNING_KEY": os.environ["OLD_KEY"]}
