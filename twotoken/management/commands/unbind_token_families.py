"""The command ``manage.py unbind_token_families``, which unbinds families from their devices."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext, ngettext

from twotoken import families
from twotoken.dpop import PROTOCOLS
from twotoken.families import Criteria
from twotoken.management.arguments import check_family, confirm, family, user_id
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
            raise CommandError(gettext("--all can't be combined with --user, --family or --protocol."))
        if not options["all"] and not given:
            raise CommandError(gettext("Give --all, or one or more of --user, --family, --protocol."))
        criteria: Criteria = {}
        if options["user"] is not None:
            criteria["user_id"] = user_id(options["user"])
        if options["family"] is not None:
            check_family(options["family"])
            criteria["family_id"] = options["family"]
        selected = families.select(**criteria).bound(PREFIXES.get(options["protocol"], ""))
        if options["dry_run"]:
            count = selected.count()
            said = ngettext(
                "%(count)d token family would be unbound.", "%(count)d token families would be unbound.", count
            )
            self.stdout.write(said % {"count": count})
            return
        if options["all"] and options["interactive"]:
            self.ask(selected.count())
        count = with_progress(lambda show: families.unbind_each(selected, actor=ACTOR, on_batch=show), self.stderr)
        said = ngettext("%(count)d token family unbound.", "%(count)d token families unbound.", count)
        self.stdout.write(said % {"count": count})

    def ask(self, count: int) -> None:
        """Ask for confirmation before all families are unbound."""
        warning = ngettext(
            "This unbinds %(count)d token family: a copy of its token works on any device.",
            "This unbinds %(count)d token families: copies of their tokens work on any device.",
            count,
        )
        confirm(self.stdout, warning % {"count": count}, gettext("Nothing was unbound."))
