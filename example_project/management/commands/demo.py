"""``manage.py demo``: everything that the example needs, then the server."""

from __future__ import annotations

import os
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from example_project.settings import ENV_FILE, read_env

NAMES = ("DJANGO_SECRET_KEY", "JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET", "DEMO_PASSWORD", "ADMIN_PASSWORD")


class Command(BaseCommand):
    """Prepares and serves the example."""

    help = "Make secrets, a database and two users where they are missing, tell their passwords, and serve."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("addrport", nargs="?", default="127.0.0.1:8000", help="address and port to serve at")
        parser.add_argument("--no-serve", action="store_true", help="prepare only")

    def handle(self, *args: Any, **options: Any) -> None:
        values = read_env(ENV_FILE)
        if missing := [name for name in NAMES if name not in values]:
            values |= {name: secrets.token_urlsafe(32 if "SECRET" in name else 9) for name in missing}
            ENV_FILE.touch(mode=0o600)
            ENV_FILE.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
            # The settings of this process were read before the secrets were there: start again with them.
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, *sys.argv])
        call_command("migrate", verbosity=0, interactive=False)
        call_command("check")
        self.make_user("demo", values["DEMO_PASSWORD"])
        self.make_user("admin", values["ADMIN_PASSWORD"], is_staff=True, is_superuser=True)
        url = (
            f"http://{options['addrport']}" if ":" in options["addrport"] else f"http://127.0.0.1:{options['addrport']}"
        )
        self.stdout.write(f"\nThe example: {url}/        user demo, password {values['DEMO_PASSWORD']}")
        self.stdout.write(f"The admin:   {url}/admin/  user admin, password {values['ADMIN_PASSWORD']}\n\n")
        if not options["no_serve"]:
            call_command("runserver", options["addrport"], use_reloader=False)

    def make_user(self, name: str, password: str, **fields: bool) -> None:
        """Make a user, or give the one who is there this password again."""
        user, _ = get_user_model().objects.get_or_create(username=name, defaults=fields)
        if not user.check_password(password):
            user.set_password(password)
            user.save()
