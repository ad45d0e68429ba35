"""``manage.py purge_token_families``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import ngettext

from twotoken import families
from twotoken.management.progress import with_progress


class Command(BaseCommand):
    """Deletes old token families."""

    help = "Delete the token families that were revoked or expired longer than RETENTION ago. Safe under live traffic."

    def handle(self, *args: Any, **options: Any) -> None:
        count = with_progress(families.purge, self.stderr)
        if options["verbosity"]:
            said = ngettext("%(count)d token family deleted.", "%(count)d token families deleted.", count)
            self.stdout.write(said % {"count": count})
