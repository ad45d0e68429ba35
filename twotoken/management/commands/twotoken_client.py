"""The command ``manage.py twotoken_client``, which prints or copies the folder of the JavaScript client."""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext

MANIFEST = "package.json"


class Command(BaseCommand):
    """Prints the folder of the JavaScript client, from which npm can install it."""

    help = (
        "Print the folder of the JavaScript client, which is an npm package. To install it into a front end: "
        'npm install "$(python ../manage.py twotoken_client --to twotoken)".'
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--to", type=Path, metavar="DIR", help="copy the package to this folder, and print it instead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(apps.get_app_config("twotoken").path, "static", "twotoken")
        if options["to"] is not None:
            target = options["to"].resolve()
            try:
                copy(folder, target)
            except OSError as exc:
                said = gettext("The package can't be copied to %(folder)s: %(error)s")
                raise CommandError(said % {"folder": target, "error": exc}) from exc
            folder = target
        self.stdout.write(str(folder))


def copy(source: Path, target: Path) -> None:
    """Copy the package's files to a folder, over an older copy. Raises CommandError if another package is there."""
    package = json.loads((source / MANIFEST).read_text())
    if (target / MANIFEST).exists() and name_of(target) != package["name"]:
        said = gettext("%(folder)s holds another package. Name a folder of its own, such as %(example)s.")
        raise CommandError(said % {"folder": target, "example": target / "twotoken"})
    target.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, "LICENSE", *package["files"]):
        shutil.copyfile(source / name, target / name)


def name_of(folder: Path) -> str:
    """Return the name of the npm package in a folder, or "" if its package.json can't be read."""
    try:
        return str(json.loads((folder / MANIFEST).read_text())["name"])
    except (ValueError, KeyError, TypeError):  # TypeError: the JSON is not an object
        return ""
