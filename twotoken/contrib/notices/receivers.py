"""Receivers of twotoken's signals. They mail after the commit. If a mail fails, the login or refresh still succeeds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import router, transaction
from django.utils import timezone

from twotoken.conf import conf
from twotoken.contrib.notices.devices import describe, is_new, shown_network
from twotoken.contrib.notices.mail import NEW_DEVICE, REUSE, notify
from twotoken.models import RefreshToken

logger = logging.getLogger("twotoken")


def tell_of_reuse(user_id: Any, ip_address: str | None, user_agent: str, **kwargs: Any) -> None:
    """Mail a user whose refresh token was reused."""
    ended = {"all_ended": conf.revoke_on_reuse == "user"}
    context = partial(_context, ip_address, user_agent, timezone.now(), **ended)
    _after_commit(partial(notify, user_id, REUSE, context))


def tell_of_login(family_id: UUID, user_id: Any, ip_address: str | None, user_agent: str, **kwargs: Any) -> None:
    """Mail a user who logs in from a new device.

    Do nothing if RECORD_CLIENT is off, because then no user agents are stored to compare.
    """
    if conf.record_client:
        context = partial(_context, ip_address, user_agent, timezone.now())

        def notify_if_new() -> None:
            if is_new(user_agent, user_id, family_id):
                notify(user_id, NEW_DEVICE, context)

        _after_commit(notify_if_new)


def _context(ip_address: str | None, user_agent: str, time: datetime, **details: Any) -> dict[str, Any]:
    """Return what a mail's template may show of the request.

    Others may read a mail, so the context has no token, no id, no full IP address and no raw user agent.
    """
    return {"time": time, "device": describe(user_agent), "network": shown_network(ip_address), **details}


def _after_commit(call: Callable[[], None]) -> None:
    """Run a call after the commit of the transaction, or at once if there is no transaction. An error is logged."""

    def run() -> None:
        try:
            call()
        except Exception:
            logger.exception("A notice could not be sent.")

    transaction.on_commit(run, using=router.db_for_write(RefreshToken))
