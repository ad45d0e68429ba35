"""``manage.py simplejwt_status`` tells how many refresh tokens of simplejwt can still be exchanged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext

from twotoken.contrib.simplejwt import blacklist
from twotoken.contrib.simplejwt.conf import conf


class Command(BaseCommand):
    """Shows when twotoken.contrib.simplejwt can be removed."""

    help = "Show how many refresh tokens of simplejwt can still be exchanged, and when the last of them expires."

    def handle(self, *args: Any, **options: Any) -> None:
        until = conf.until
        if conf.is_over:
            said = gettext("The move is over: old tokens are refused since %(time)s.")
            self.stdout.write(said % {"time": until.isoformat()})
        elif not blacklist.exists():
            said = gettext("Old tokens are accepted until %(time)s. simplejwt kept no list of them.")
            self.stdout.write(said % {"time": until.isoformat()})
        else:
            self.show_usable(until)

    def show_usable(self, until: datetime) -> None:
        """Print how many refresh tokens in simplejwt's table can still be exchanged, and when the last one expires."""
        usable = blacklist.usable(timezone.now())
        last = usable.aggregate(last=Max("expires_at"))["last"]
        if last is None:
            self.stdout.write(gettext("No refresh token on simplejwt's list can be exchanged any more."))
            return
        said = gettext(
            "Refresh tokens of simplejwt that can still be exchanged: %(count)d. The last expires at %(time)s."
        )
        end = min(last, until, key=datetime.timestamp)
        self.stdout.write(said % {"count": usable.count(), "time": end.isoformat()})
