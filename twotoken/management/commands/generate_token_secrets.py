"""The command ``manage.py generate_token_secrets``, which prints two secrets for an environment file."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand

SECRET_BYTES = 32


class Command(BaseCommand):
    help = (
        "Print two different 256-bit secrets as lines for an environment file. If other services verify your access "
        "tokens, don't use the first: make a key pair for ES256, as the page on keys in the documentation says."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"):
            self.stdout.write(f"{name}={secrets.token_urlsafe(SECRET_BYTES)}")
