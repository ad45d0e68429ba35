"""Helpers for a project's tests: a logged-in API client, expired and revoked tokens, a shifted clock, a bad network.

from twotoken.testing import LossyProxy, TokenClient, expired_access_token, revoked_access_token, time_travel
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.handlers.wsgi import WSGIRequest
from django.utils import timezone
from rest_framework.test import APIClient

from twotoken import dpop, families
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.families import FROM_SETTINGS, Lifetime, TokenPair
from twotoken.models import RevokedReason
from twotoken.proofs import address_of
from twotoken.testing.lossy import LossyProxy

__all__ = [
    "LossyProxy",
    "TokenClient",
    "expired_access_token",
    "expired_pair",
    "expired_refresh_token",
    "revoked_access_token",
    "revoked_pair",
    "revoked_refresh_token",
    "time_travel",
]


class TokenClient(APIClient):
    """DRF's APIClient, logged in as a user: each request carries a Bearer access token.

    ``lifetime`` and ``context`` are those of ``families.start``: with ``context={"auth_time": 0}`` the user's proof of
    identity is old. ``private_key`` is a PEM of P-256 or Ed25519: this key binds the family, and each request carries a
    DPoP proof. ``client.pair`` is the TokenPair. ``client.refresh()`` rotates the refresh token, and
    ``client.revoke()`` revokes the family.
    """

    def __init__(
        self,
        user: AbstractBaseUser,
        *,
        lifetime: Lifetime = FROM_SETTINGS,
        context: Mapping[str, Any] | None = None,
        private_key: str | None = None,
        **defaults: Any,
    ) -> None:
        super().__init__(**defaults)
        self.private_key = private_key
        self.device_key = "" if private_key is None else dpop.device_key_of(private_key)
        self._use(families.start(user, lifetime=lifetime, context=context, device_key=self.device_key))

    def request(self, **kwargs: Any) -> Any:
        if self.private_key is not None:
            own: Any = self  # its types don't have _base_environ
            kwargs["HTTP_DPOP"] = dpop.make_proof(
                self.private_key,
                method=kwargs["REQUEST_METHOD"],
                address=address_of(WSGIRequest(own._base_environ(**kwargs))),
                now=timezone.now(),
                access_token=self.pair.access,
            )
        return super().request(**kwargs)

    def refresh(self) -> TokenPair:
        """Rotate the refresh token, use the new pair from now on, and return it. Raises a TokenNotValid on refusal."""
        claims = families.verify(self.pair.refresh)
        return self._use(families.rotate(claims, Client(), device_key=self.device_key))

    def revoke(self, reason: str = RevokedReason.ADMIN) -> None:
        """Revoke the client's token family."""
        families.revoke(self.pair.family_id, reason)

    def _use(self, pair: TokenPair) -> TokenPair:
        self.pair = pair
        self.credentials(HTTP_AUTHORIZATION=f"{pair.token_type or 'Bearer'} {pair.access}")
        return pair


@contextmanager
def time_travel(delta: timedelta) -> Iterator[None]:
    """Shift Django's clock, ``timezone.now``, by ``delta`` inside the ``with`` block. Other clocks do not move."""
    now = timezone.now
    with patch.object(timezone, "now", lambda: now() + delta):
        yield


def poll_revocations() -> None:
    """Make the next request read which families were revoked, whether REVOCATION_INTERVAL has passed or not."""
    families.forget_revoked()


def expired_pair(user: AbstractBaseUser) -> TokenPair:
    """Return a token pair in which both tokens have expired."""
    longest = max(conf.refresh_lifetime, conf.access_lifetime + conf.leeway)
    with time_travel(-longest - timedelta(seconds=2)):
        return families.start(user)


def expired_access_token(user: AbstractBaseUser) -> str:
    """Return an expired access token. Its token family is active."""
    with time_travel(-conf.access_lifetime - conf.leeway - timedelta(seconds=2)):
        return families.start(user, lifetime=None).access


def expired_refresh_token(user: AbstractBaseUser) -> str:
    """Return a refresh token of a family that was not refreshed for REFRESH_LIFETIME and has expired."""
    return expired_pair(user).refresh


def revoked_pair(user: AbstractBaseUser, reason: str = RevokedReason.ADMIN) -> TokenPair:
    """Return a token pair of a family that is revoked."""
    pair = families.start(user)
    families.revoke(pair.family_id, reason)
    return pair


def revoked_access_token(user: AbstractBaseUser, reason: str = RevokedReason.ADMIN) -> str:
    """Return an access token of a family that is revoked.

    Only an authentication class that checks the family refuses this token.
    """
    return revoked_pair(user, reason).access


def revoked_refresh_token(user: AbstractBaseUser, reason: str = RevokedReason.ADMIN) -> str:
    """Return a refresh token of a family that is revoked."""
    return revoked_pair(user, reason).refresh
