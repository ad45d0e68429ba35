"""The command ``manage.py revoke_token_families``, which revokes the families that its options select."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, ngettext

from twotoken import families
from twotoken.clients import stored_address
from twotoken.conf import conf
from twotoken.families import Criteria
from twotoken.management.arguments import check_family, confirm, family, user_id
from twotoken.management.progress import with_progress
from twotoken.models import RevokedReason
from twotoken.templatetags.twotoken_durations import in_words

ACTOR = "manage.py revoke_token_families"


def moment(text: str) -> datetime:
    """Return the time in an ISO 8601 argument. A time without an offset is in the project's time zone."""
    try:
        value = parse_datetime(text)
        if value is None:
            value = datetime.fromisoformat(text)  # a date without a time means midnight
    except ValueError as exc:
        said = gettext("%(text)r is not a time. Use 2026-01-31T12:00 or 2026-01-31.")
        raise ArgumentTypeError(said % {"text": text}) from exc
    try:
        aware = (value if timezone.is_aware(value) else timezone.make_aware(value)).astimezone(UTC)
        return aware if settings.USE_TZ else timezone.make_naive(aware)
    except OverflowError as exc:
        said = gettext("%(text)r is out of range. Use a time between the years 1 and 9999.")
        raise ArgumentTypeError(said % {"text": text}) from exc


def address(text: str) -> str:
    """Return an IP address, read from an argument. Raises ArgumentTypeError if it is invalid."""
    found = stored_address(text)
    if found is None:
        raise ArgumentTypeError(gettext("%(text)r is not an IP address.") % {"text": text})
    return found


class Command(BaseCommand):
    """Revokes the token families that the options select, for example during an incident."""

    help = (
        "Revoke the token families that match all of the options. Access tokens that were already issued stay valid "
        "for up to ACCESS_LIFETIME, unless the API uses RevocableAccessTokenAuthentication."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", help="families of the user with this login name")
        parser.add_argument("--family", type=family, help="the family with this id")
        parser.add_argument(
            "--before", type=moment, metavar="DATETIME", help="families started before this time (ISO 8601)"
        )
        parser.add_argument("--address", type=address, help="families last seen at this IP address")
        parser.add_argument("--inactive", action="store_true", help="families of all inactive users")
        parser.add_argument("--all", action="store_true", help="all families; asks for confirmation")
        parser.add_argument("--dry-run", action="store_true", help="only count the families")
        parser.add_argument(
            "--no-input", "--noinput", action="store_false", dest="interactive", help="don't ask to confirm --all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = {name: options[name] for name in ("user", "family", "before", "address") if options[name] is not None}
        if options["inactive"]:
            given["inactive"] = True
        check_combination(is_all=options["all"], is_limited=bool(given))
        if options["family"] is not None:
            check_family(options["family"])
        # A family that starts while the command runs stays active.
        criteria: Criteria = {"before": options["before"] or timezone.now()}
        if options["user"] is not None:
            criteria["user_id"] = user_id(options["user"])
        if options["family"] is not None:
            criteria["family_id"] = options["family"]
        if options["address"] is not None:
            criteria["address"] = options["address"]
        if options["inactive"]:
            check_column()
            criteria["user_is_active"] = False
        selected = families.select(**criteria)
        reason = RevokedReason.USER_INACTIVE if options["inactive"] else RevokedReason.ADMIN
        if options["dry_run"]:
            self.preview(selected.count())
            return
        if options["all"] and options["interactive"]:
            self.ask(selected.count())
        count = with_progress(
            lambda show: families.revoke_each(selected, reason, actor=ACTOR, on_batch=show), self.stderr
        )
        self.report(count)

    def preview(self, count: int) -> None:
        """Print how many families would be revoked, for a dry run."""
        said = ngettext("%(count)d token family would be revoked.", "%(count)d token families would be revoked.", count)
        self.stdout.write(said % {"count": count})

    def ask(self, count: int) -> None:
        """Ask for confirmation before all families are revoked."""
        warning = ngettext(
            "This revokes %(count)d token family: its user has to log in again.",
            "This revokes %(count)d token families: their users have to log in again.",
            count,
        )
        confirm(self.stdout, warning % {"count": count}, gettext("Nothing was revoked."))

    def report(self, count: int) -> None:
        """Print how many families were revoked, and for how long their access tokens may stay valid."""
        said = ngettext("%(count)d token family revoked.", "%(count)d token families revoked.", count)
        self.stdout.write(said % {"count": count})
        if count:
            said = gettext("Access tokens that were already issued stay valid for up to %(time)s.")
            self.stdout.write(said % {"time": in_words(conf.access_lifetime)})


def check_combination(*, is_all: bool, is_limited: bool) -> None:
    """Raise CommandError if --all is combined with an option that limits the families, or if no option is given."""
    if is_all and is_limited:
        raise CommandError(gettext("--all can't be combined with --user, --family, --before, --address or --inactive."))
    if not is_all and not is_limited:
        raise CommandError(gettext("Give --all, or one or more of --user, --family, --before, --address, --inactive."))


def check_column() -> None:
    """Raise CommandError if the user model has no column is_active."""
    model = get_user_model()
    try:
        model._meta.get_field("is_active")
    except FieldDoesNotExist as exc:
        said = gettext("%(model)s has no column is_active: use --user for each inactive user.")
        raise CommandError(said % {"model": model._meta.label}) from exc
