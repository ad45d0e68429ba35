"""The command ``manage.py twotoken_doctor``, which finds out why logins or cookies don't work."""

from __future__ import annotations

import getpass
import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any
from urllib.parse import SplitResult

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from twotoken.management.doctor import Finding, Options, Status, examine, mount_url

PASSWORD = "TWOTOKEN_DOCTOR_PASSWORD"  # noqa: S105 - the name of a variable


def address(text: str) -> SplitResult:
    """Return an absolute http or https URL, read from an argument. Raises ArgumentTypeError if it is invalid."""
    try:
        return mount_url(text)
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is not an http or https URL.") from exc


class Command(BaseCommand):
    """Examines a project with ``management.doctor``, and prints what is wrong and what to set."""

    help = (
        "Try logins, cookies, CORS, the proxy, the cache and the database, and say what is wrong, why it matters and "
        "what to set. Changes in the database are rolled back. With --user, a login over HTTP starts a token family, "
        "which is logged out again. The exit code is 1 if something is wrong."
    )
    requires_system_checks = []  # the doctor runs them itself, and goes on after an error

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--url", type=address, help="the address of twotoken.urls for clients: https://api.example.com/api/auth/"
        )
        parser.add_argument(
            "--front-end",
            type=address,
            metavar="URL",
            help="the address of the front end's page: https://app.example.com",
        )
        parser.add_argument(
            "--no-http",
            action="store_false",
            dest="over_http",
            help="send nothing to --url: try its requests inside this process",
        )
        parser.add_argument(
            "--user", metavar="NAME", help=f"log in as this user; the password is read from {PASSWORD}, or asked for"
        )
        parser.add_argument(
            "--database", action="append", dest="databases", default=[], help="run the checks of this database"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["front_end"] is not None and options["url"] is None:
            raise CommandError("--front-end needs --url: the address of the API decides what a browser does.")
        findings: list[Finding] = []
        chosen = Options(
            url=options["url"],
            front_end=options["front_end"],
            credentials=credentials(options["user"]),
            over_http=options["over_http"],
            databases=options["databases"],
        )
        for finding in examine(chosen):
            findings.append(finding)
            if not options["json"]:
                self.tell(finding)
        faults = sum(finding.status is Status.WRONG for finding in findings)
        if options["json"]:
            report = {"ok": not faults, "findings": [finding.as_dict() for finding in findings]}
            self.stdout.write(json.dumps(report, indent=2))
        if faults:
            raise CommandError(f"{faults} {'thing is' if faults == 1 else 'things are'} wrong.")

    def tell(self, finding: Finding) -> None:
        """Print a finding of the doctor on one line."""
        style = {Status.OK: self.style.SUCCESS, Status.WRONG: self.style.ERROR, Status.SKIPPED: self.style.WARNING}
        self.stdout.write(f"{style[finding.status](f'{finding.status:7}')} {finding.probe}: {finding.sentence}")


def credentials(name: str | None) -> dict[str, str] | None:
    """Return the credentials of the user with this name. If ``name`` is None, return None.

    The password is not an argument of the command, because other users of the machine can see a command's arguments.
    """
    if name is None:
        return None
    password = os.environ.get(PASSWORD)
    if not password:  # an empty password would get a 400, which says nothing about the project
        if not sys.stdin.isatty():
            raise CommandError(f"Put the user's password into the environment, as {PASSWORD}.")
        password = getpass.getpass(f"Password of {name}: ")
    model: Any = get_user_model()
    return {model.USERNAME_FIELD: name, "password": password}
