"""``manage.py unbind_token_families``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from twotoken import families
from twotoken.dpop import PROTOCOLS
from twotoken.families import Criteria
from twotoken.management.arguments import confirm, counted, family, user_id
from twotoken.management.progress import with_progress

ACTOR = "manage.py unbind_token_families"
PREFIXES = {name.lower(): prefix for prefix, name in PROTOCOLS.items()}


class Command(BaseCommand):
    """Unbinds token families from their devices, for example before DPOP is switched off."""

    help = (
        "Unbind the token families that match all of the options from their devices. They stay active, but from then "
        "on a copied refresh token works on any device. To end them instead, use revoke_token_families."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", help="families of the user with this login name")
        parser.add_argument("--family", type=family, help="the family with this id")
        parser.add_argument("--protocol", choices=sorted(PREFIXES), help="families that are bound by this protocol")
        parser.add_argument("--all", action="store_true", help="all bound families; asks for confirmation")
        parser.add_argument("--dry-run", action="store_true", help="only count the families")
        parser.add_argument(
            "--no-input", "--noinput", action="store_false", dest="interactive", help="don't ask to confirm --all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = [name for name in ("user", "family", "protocol") if options[name] is not None]
        if options["all"] and given:
            raise CommandError("--all can't be combined with --user, --family or --protocol.")
        if not options["all"] and not given:
            raise CommandError("Give --all, or one or more of --user, --family, --protocol.")
        criteria: Criteria = {}
        if options["user"] is not None:
            criteria["user_id"] = user_id(options["user"])
        if options["family"] is not None:
            if not families.exists(options["family"]):
                raise CommandError(f"There is no token family {str(options['family'])!r}.")
            criteria["family_id"] = options["family"]
        selected = families.select(**criteria).bound(PREFIXES.get(options["protocol"], ""))
        if options["dry_run"]:
            self.stdout.write(f"{counted(selected.count())} would be unbound.")
            return
        if options["all"] and options["interactive"]:
            warning = f"This unbinds {counted(selected.count())}: copies of their tokens work on any device."
            confirm(self.stdout, warning, "Nothing was unbound.")
        count = with_progress(lambda show: families.unbind_each(selected, actor=ACTOR, on_batch=show), self.stderr)
        self.stdout.write(f"{counted(count)} unbound.")
