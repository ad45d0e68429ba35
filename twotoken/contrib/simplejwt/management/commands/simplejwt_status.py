"""``manage.py simplejwt_status``: how far the move is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Max
from django.utils import timezone

from twotoken.contrib.simplejwt import blacklist
from twotoken.contrib.simplejwt.conf import conf


class Command(BaseCommand):
    """Shows when twotoken.contrib.simplejwt can be removed."""

    help = "Show how many refresh tokens of simplejwt can still be exchanged, and when the last of them expires."

    def handle(self, *args: Any, **options: Any) -> None:
        until = conf.until
        if conf.is_over:
            self.stdout.write(f"The move is over: old tokens are refused since {until.isoformat()}.")
        elif not blacklist.exists():
            self.stdout.write(f"Old tokens are accepted until {until.isoformat()}. simplejwt kept no list of them.")
        else:
            usable = blacklist.usable(timezone.now())
            last = usable.aggregate(last=Max("expires_at"))["last"]
            if last is None:
                self.stdout.write("No refresh token on simplejwt's list can be exchanged any more.")
            else:
                self.stdout.write(
                    f"Refresh tokens of simplejwt that can still be exchanged: {usable.count()}. "
                    f"The last expires at {min(last, until, key=datetime.timestamp).isoformat()}."
                )
