"""Settings of the example project for browser tests, with faults. Graces and lifetimes come from the environment."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from example_project.settings import *  # noqa: F403
from example_project.settings import ALLOWED_HOSTS, MIDDLEWARE, SECURE_CSP, TEMPLATES, TWOTOKEN

ALLOWED_HOSTS = [*ALLOWED_HOSTS, ".app.localhost"]
ROOT_URLCONF = os.environ.get("TEST_URLCONF", "tests.browser.urls")
MIDDLEWARE = ["tests.browser.cors.CorsMiddleware", "tests.browser.faults.FaultMiddleware", *MIDDLEWARE]
CSRF_TRUSTED_ORIGINS = [origin for origin in [os.environ.get("TEST_FRONT_END")] if origin]
STATICFILES_DIRS = [folder for folder in [os.environ.get("TEST_STATIC")] if folder]
if "TEST_CSP" in os.environ:  # a policy with nonces
    SECURE_CSP = json.loads(os.environ["TEST_CSP"])
    options: Any = TEMPLATES[0]["OPTIONS"]
    options["context_processors"].append("django.template.context_processors.csp")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TWOTOKEN = {
    **TWOTOKEN,
    "COOKIE_SECURE": True,  # Chromium keeps such cookies for this machine even without https
    "COOKIE_DOMAIN": os.environ.get("TEST_COOKIE_DOMAIN"),
    "ACCESS_LIFETIME": timedelta(seconds=int(os.environ.get("TEST_ACCESS_SECONDS", "900"))),
    "BROWSER_GRACE": float(os.environ.get("TEST_BROWSER_GRACE", "10")),
    "DPOP_NONCE": "TEST_NONCES" in os.environ,
    "DPOP_ACCESS": "TEST_BEARER_ACCESS" not in os.environ,
    "LOGIN_THROTTLE": None,
    "REFRESH_THROTTLE": None,
}
