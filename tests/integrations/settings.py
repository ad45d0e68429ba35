"""Settings for the tests of integrations, with all their packages. Some settings are read from pages of the docs."""

from __future__ import annotations

from tests.integrations.pages import settings_of
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

ALLOWED_HOSTS = ["testserver", ".localhost", "127.0.0.1"]
DATABASES = {"default": DATABASES["default"]}

vars().update(settings_of("allauth", "HEADLESS_TOKEN_STRATEGY", INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE))
INSTALLED_APPS += [
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    "axes",
    "corsheaders",
    "dj_rest_auth",
    "dj_rest_auth.registration",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "django_otp_webauthn",
    "djoser",
]
vars().update(settings_of("allauth", "MFA_PASSKEY_LOGIN_ENABLED"))
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
OTP_WEBAUTHN_RP_ID, OTP_WEBAUTHN_RP_NAME = "localhost", "Test"
OTP_WEBAUTHN_ALLOWED_ORIGINS = ["http://localhost"]
AXES_ENABLED = False
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
REST_AUTH = {"TOKEN_MODEL": None}
SOCIALACCOUNT_PROVIDERS = {"github": {"APPS": [{"client_id": "our-app", "secret": "our-secret", "key": ""}]}}
DJOSER = {"TOKEN_MODEL": None}
