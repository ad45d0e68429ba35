"""The command ``manage.py purge_token_families``, which deletes old token families."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import ngettext

from twotoken import families
from twotoken.management.arguments import duration
from twotoken.management.progress import with_progress


class Command(BaseCommand):
    """Deletes token families that were revoked or expired longer than RETENTION ago."""

    help = "Delete the token families that were revoked or expired longer than RETENTION ago. Safe under live traffic."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--for",
            type=duration,
            dest="within",
            metavar="DURATION",
            help="stop after this time, such as 30s, 10m or 2h, and say what is left",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        count = with_progress(partial(families.purge, within=options["within"]), self.stderr)
        took = timedelta(seconds=time.monotonic() - began)
        if not options["verbosity"]:
            return
        said = ngettext("%(count)d token family deleted.", "%(count)d token families deleted.", count)
        self.stdout.write(said % {"count": count})
        # A purge that was finished in time leaves nothing, but other families may have become due since it began.
        if options["within"] is not None and took >= options["within"] and (left := families.purgeable().count()):
            said = ngettext(
                "The time is over. %(count)d token family is left: run the command again.",
                "The time is over. %(count)d token families are left: run the command again.",
                left,
            )
            self.stdout.write(said % {"count": left})
