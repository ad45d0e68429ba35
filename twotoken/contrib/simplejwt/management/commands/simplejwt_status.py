"""``manage.py simplejwt_status``: how much of the move is still to come."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Max
from django.utils import timezone

from twotoken.contrib.simplejwt import blacklist
from twotoken.contrib.simplejwt.conf import conf


class Command(BaseCommand):
    """Tells when twotoken.contrib.simplejwt can be taken out again."""

    help = "Tell how many refresh tokens of simplejwt can still be exchanged, and when the last of them ends."

    def handle(self, *args: Any, **options: Any) -> None:
        until = conf.until
        if conf.is_over:
            self.stdout.write(f"The move is over: no old token is taken since {until.isoformat()}.")
        elif not blacklist.exists():
            self.stdout.write(f"Old tokens are taken until {until.isoformat()}. simplejwt has kept no list of them.")
        else:
            usable = blacklist.usable(timezone.now())
            last = usable.aggregate(last=Max("expires_at"))["last"]
            if last is None:
                self.stdout.write("No refresh token of simplejwt's list can still be exchanged.")
            else:
                self.stdout.write(
                    f"{usable.count()} refresh tokens of simplejwt can still be exchanged. "
                    f"The last ends at {min(last, until, key=datetime.timestamp).isoformat()}."
                )
