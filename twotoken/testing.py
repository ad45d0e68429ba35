"""Helpers for a project's own tests: a logged-in API client, expired and revoked tokens, and a shifted clock.

from twotoken.testing import TokenClient, expired_access_token, revoked_access_token, time_travel
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from rest_framework.test import APIClient

from twotoken import families
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.families import FROM_SETTINGS, Lifetime, TokenPair
from twotoken.models import RevokedReason


class TokenClient(APIClient):
    """DRF's APIClient, logged in as a user: each request carries a Bearer access token.

    ``lifetime`` and ``context`` are those of ``families.start``: with ``context={"auth_time": 0}`` the login is old.
    ``client.pair`` is the TokenPair; ``client.refresh()`` rotates it, ``client.revoke()`` revokes its family.
    """

    def __init__(
        self,
        user: AbstractBaseUser,
        *,
        lifetime: Lifetime = FROM_SETTINGS,
        context: Mapping[str, Any] | None = None,
        **defaults: Any,
    ) -> None:
        super().__init__(**defaults)
        self._use(families.start(user, lifetime=lifetime, context=context))

    def refresh(self) -> TokenPair:
        """Rotate the refresh token, as a script does, and use the new pair from then on. Raises a TokenNotValid."""
        return self._use(families.rotate(families.verify(self.pair.refresh), Client()))

    def revoke(self, reason: str = RevokedReason.ADMIN) -> None:
        """Revoke the client's token family."""
        families.revoke(self.pair.family_id, reason)

    def _use(self, pair: TokenPair) -> TokenPair:
        self.pair = pair
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
        return pair


@contextmanager
def time_travel(delta: timedelta) -> Iterator[None]:
    """Shift Django's clock, ``timezone.now``, by ``delta`` inside the ``with`` block. Other clocks do not move."""
    now = timezone.now
    with patch.object(timezone, "now", lambda: now() + delta):
        yield


def expired_pair(user: AbstractBaseUser) -> TokenPair:
    """Return a pair of expired tokens."""
    longest = max(conf.refresh_lifetime, conf.access_lifetime + conf.leeway)
    with time_travel(-longest - timedelta(seconds=2)):
        return families.start(user)


def expired_access_token(user: AbstractBaseUser) -> str:
    """Return an expired access token. Its token family is active."""
    with time_travel(-conf.access_lifetime - conf.leeway - timedelta(seconds=2)):
        return families.start(user, lifetime=None).access


def expired_refresh_token(user: AbstractBaseUser) -> str:
    """Return a refresh token whose token family was idle for too long and has expired."""
    return expired_pair(user).refresh


def revoked_pair(user: AbstractBaseUser, reason: str = RevokedReason.ADMIN) -> TokenPair:
    """Return a pair whose token family is revoked."""
    pair = families.start(user)
    families.revoke(pair.family_id, reason)
    return pair


def revoked_access_token(user: AbstractBaseUser, reason: str = RevokedReason.ADMIN) -> str:
    """Return an access token whose token family is revoked: only RevocableAccessTokenAuthentication refuses it."""
    return revoked_pair(user, reason).access


def revoked_refresh_token(user: AbstractBaseUser, reason: str = RevokedReason.ADMIN) -> str:
    """Return a refresh token whose token family is revoked."""
    return revoked_pair(user, reason).refresh
