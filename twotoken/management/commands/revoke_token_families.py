"""``manage.py revoke_token_families``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime

from twotoken import families
from twotoken.clients import stored_address
from twotoken.conf import conf
from twotoken.families import Criteria
from twotoken.management.arguments import confirm, counted, family, user_id
from twotoken.management.progress import with_progress
from twotoken.models import RevokedReason
from twotoken.templatetags.twotoken_durations import in_words

ACTOR = "manage.py revoke_token_families"


def moment(text: str) -> datetime:
    """Read an ISO 8601 time. Without an offset it is in the project's time zone."""
    try:
        value = parse_datetime(text)
        if value is None:
            value = datetime.fromisoformat(text)  # a date without a time means midnight
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is not a time. Use 2026-01-31T12:00 or 2026-01-31.") from exc
    try:
        aware = (value if timezone.is_aware(value) else timezone.make_aware(value)).astimezone(UTC)
        return aware if settings.USE_TZ else timezone.make_naive(aware)
    except OverflowError as exc:
        raise ArgumentTypeError(f"{text!r} is out of range. Use a time between the years 1 and 9999.") from exc


def address(text: str) -> str:
    """Read an IP address."""
    found = stored_address(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not an IP address.")
    return found


class Command(BaseCommand):
    """Revokes token families, for example during an incident."""

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
        if options["all"] and given:
            raise CommandError("--all can't be combined with --user, --family, --before, --address or --inactive.")
        if not options["all"] and not given:
            raise CommandError("Give --all, or one or more of --user, --family, --before, --address, --inactive.")
        if options["family"] is not None and not families.exists(options["family"]):
            raise CommandError(f"There is no token family {str(options['family'])!r}.")
        # A family that is started while this runs stays active.
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
            self.tell("would be revoked", selected.count())
            return
        if options["all"] and options["interactive"]:
            warning = f"This revokes {counted(selected.count())}: their users have to log in again."
            confirm(self.stdout, warning, "Nothing was revoked.")
        count = with_progress(
            lambda show: families.revoke_each(selected, reason, actor=ACTOR, on_batch=show), self.stderr
        )
        self.tell("revoked", count)
        if count:
            with translation.override(None):  # commands speak English, as Django's own do
                lifetime = in_words(conf.access_lifetime)
            self.stdout.write(f"Access tokens that were already issued stay valid for up to {lifetime}.")

    def tell(self, what: str, count: int) -> None:
        """Print the result."""
        self.stdout.write(f"{counted(count)} {what}.")


def check_column() -> None:
    """Raise CommandError if the user model has no column is_active."""
    model = get_user_model()
    try:
        model._meta.get_field("is_active")
    except FieldDoesNotExist as exc:
        raise CommandError(f"{model._meta.label} has no column is_active: use --user for each inactive user.") from exc
