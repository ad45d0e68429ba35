"""``manage.py demo``: set up the example and start the server."""

from __future__ import annotations

import os
import secrets
import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.management.commands.runserver import naiveip_re

from example_project.settings import ENV_FILE, VICTIM, read_env, token_secrets

SECRETS = ("DJANGO_SECRET_KEY", "JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET")
PASSWORDS = ("DEMO_PASSWORD", "ADMIN_PASSWORD", "VICTIM_PASSWORD")
SECRET_BYTES, PASSWORD_BYTES = 32, 9


class Command(BaseCommand):
    """Prepares the example project and serves it."""

    help = "Create missing secrets, database and users, show the passwords of the users, and start the server."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("addrport", nargs="?", default="127.0.0.1:8000", help="address and port to serve at")
        parser.add_argument("--no-serve", action="store_true", help="prepare only")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = parse_addrport(options["addrport"])
        if not options["no_serve"]:
            ensure_free(host, port)
        values = self.make_secrets()
        call_command("migrate", verbosity=0, interactive=False)
        call_command("check", stdout=self.stdout)
        self.make_user("demo", values["DEMO_PASSWORD"])
        self.make_user(VICTIM["username"], VICTIM["password"])
        self.make_user("admin", values["ADMIN_PASSWORD"], is_staff=True, is_superuser=True)
        shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{port}"
        if options["no_serve"]:
            self.stdout.write("\nThe server is not running. Start it with 'manage.py demo'.")
        self.stdout.write(f"\nThe example: {url}/        user demo, password {values['DEMO_PASSWORD']}")
        self.stdout.write(f"The admin:   {url}/admin/  user admin, password {values['ADMIN_PASSWORD']}\n\n")
        self.stdout.flush()
        if not options["no_serve"]:
            call_command("runserver", options["addrport"], use_reloader=False, skip_checks=True)

    def make_secrets(self) -> dict[str, str]:
        """Add the missing secrets and passwords to demo.env, and return all values of this file."""
        values = read_env(ENV_FILE)
        if missing := [name for name in (*SECRETS, *PASSWORDS) if not values.get(name)]:
            for name in missing:
                values[name] = secrets.token_urlsafe(PASSWORD_BYTES if name in PASSWORDS else SECRET_BYTES)
            ENV_FILE.touch(mode=0o600)
            ENV_FILE.chmod(0o600)
            ENV_FILE.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
            # The settings were read before these secrets existed, so set them now.
            env = {**values, **os.environ}
            settings.SECRET_KEY = env["DJANGO_SECRET_KEY"]
            settings.TWOTOKEN = {**settings.TWOTOKEN, **token_secrets(env)}
            VICTIM["password"] = env["VICTIM_PASSWORD"]
        return values

    def make_user(self, name: str, password: str, **fields: bool) -> None:
        """Create a user, or reset the password of an existing one."""
        user, _ = get_user_model().objects.get_or_create(username=name, defaults=fields)
        if not user.check_password(password):
            user.set_password(password)
            user.save()


def parse_addrport(addrport: str) -> tuple[str, int]:
    """Return host and port from an argument like that of ``runserver``: a port, or an address and a port."""
    match = naiveip_re.match(addrport)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise CommandError(f"{addrport!r} is neither a port nor an address and a port. Use 127.0.0.1:8000.")
    return (match["addr"] or "127.0.0.1").strip("[]"), int(match["port"])


def ensure_free(host: str, port: int) -> None:
    """Raise CommandError if the server can't listen at this host and port. Called before anything is created."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # as runserver does; on Windows the option would let two servers share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        raise CommandError(
            f"Can't serve at {host}:{port}: {exc.strerror}. Use another port: manage.py demo 8001."
        ) from exc
