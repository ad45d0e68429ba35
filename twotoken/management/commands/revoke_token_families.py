"""``manage.py revoke_token_families``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.core.management.base import BaseCommand, CommandError
from django.db import router
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime

from twotoken import families
from twotoken.clients import stored_address
from twotoken.conf import conf
from twotoken.families import Criteria
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


def family(text: str) -> UUID:
    """Read the id of a token family."""
    try:
        return UUID(text)
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is not the id of a token family, which is a UUID.") from exc


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
            self.ask(selected.count())
        count = with_progress(
            lambda show: families.revoke_each(selected, reason, actor=ACTOR, on_batch=show), self.stderr
        )
        self.tell("revoked", count)
        if count:
            with translation.override(None):  # commands speak English, as Django's own do
                lifetime = in_words(conf.access_lifetime)
            self.stdout.write(f"Access tokens that were already issued stay valid for up to {lifetime}.")

    def ask(self, count: int) -> None:
        """Ask for confirmation. Raises CommandError if the person does not confirm."""
        self.stdout.write(f"This revokes {counted(count)}: their users have to log in again.")
        try:
            answer = input("Type 'yes' to continue: ")
        except EOFError as exc:
            raise CommandError("Nothing was revoked. Without a terminal, use --no-input.") from exc
        if answer != "yes":
            raise CommandError("Nothing was revoked.")

    def tell(self, what: str, count: int) -> None:
        """Print the result."""
        self.stdout.write(f"{counted(count)} {what}.")


def counted(count: int) -> str:
    """Return a count in words, for example "1 token family"."""
    return f"{count} token {'family' if count == 1 else 'families'}"


def check_column() -> None:
    """Raise CommandError if the user model has no column is_active."""
    model = get_user_model()
    try:
        model._meta.get_field("is_active")
    except FieldDoesNotExist as exc:
        raise CommandError(f"{model._meta.label} has no column is_active: use --user for each inactive user.") from exc


def user_id(name: str) -> Any:
    """Return the primary key of the user with this login name. Raises CommandError if there is no such user."""
    model = get_user_model()
    # A lagging replica may have another user with this name, or none.
    manager: Any = model._default_manager.db_manager(router.db_for_write(model))
    try:
        return manager.get_by_natural_key(name).pk
    except model.DoesNotExist as exc:
        raise CommandError(f"There is no user {name!r}.") from exc
