"""twotoken's three authentication classes, which also accept the old tokens, simplejwt's, until these expire.

The classes have the names of twotoken's own, so that a project ends the move by changing the import path. Like
``twotoken.authentication``, this module must not import ``rest_framework.views``, not even indirectly.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework.request import Request

from twotoken import authentication
from twotoken.conf import conf as core
from twotoken.contrib.simplejwt.conf import conf
from twotoken.contrib.simplejwt.tokens import OldAccessToken, decode_access
from twotoken.contrib.simplejwt.users import active_user
from twotoken.exceptions import ExpiredToken, InvalidToken
from twotoken.tokens import AccessToken
from twotoken.users import ClaimsUser


def verify_access(token: str) -> OldAccessToken:
    """Return the claims of an old access token. Raises InvalidToken or ExpiredToken."""
    old = decode_access(token, conf.policy, timezone.now())
    if conf.is_over:
        raise ExpiredToken
    return old


class AccessTokenAuthentication(authentication.AccessTokenAuthentication):
    """Authenticate the user of an access token, old or new, who must exist and be active. One query.

    For an old token, ``request.auth`` has the old claims and ``sub``. Its ``family_id`` is the nil UUID, because an old
    access token belongs to no family.
    """

    def get_token(self, request: Request) -> str | None:
        words: list[str] = request.META.get(conf.auth_header_name, "").split()
        if not words or words[0] not in conf.auth_header_types:
            return super().get_token(request)
        if len(words) != 2:
            raise InvalidToken
        return words[1]

    def verify(self, token: str) -> AccessToken:
        try:
            return super().verify(token)
        except InvalidToken:
            return verify_access(token)

    def get_user(self, access: AccessToken) -> Any:
        if isinstance(access, OldAccessToken):
            return self.get_old_user(access)
        return super().get_user(access)

    def get_old_user(self, access: OldAccessToken) -> Any:
        """Return the user of an old token's claims; raise a TokenNotValid to refuse the token."""
        return active_user(access["sub"], access.password_digest)


class RevocableAccessTokenAuthentication(AccessTokenAuthentication, authentication.RevocableAccessTokenAuthentication):
    """Check the token family too. An old token has no family: it is valid until it expires or its user is refused."""


class StatelessAccessTokenAuthentication(AccessTokenAuthentication, authentication.StatelessAccessTokenAuthentication):
    """Make a user from the claims. No query, if old and new tokens identify users by the same field."""

    def get_old_user(self, access: OldAccessToken) -> Any:
        key = get_user_model()._meta.pk
        names = {"pk", key.name, key.attname}
        if conf.user_id_field == core.user_id_field or {conf.user_id_field, core.user_id_field} <= names:
            return ClaimsUser(access)
        return super().get_old_user(access)
