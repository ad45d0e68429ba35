"""Subclasses of twotoken's authentication classes that also accept simplejwt's access tokens until these expire.

The classes have the names of their base classes, so that a project ends the move by changing the import path. Like
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
    """Return the claims of an access token of simplejwt. Raises InvalidToken or ExpiredToken."""
    old = decode_access(token, conf.policy, timezone.now())
    if conf.is_over:
        raise ExpiredToken
    return old


class AccessTokenAuthentication(authentication.AccessTokenAuthentication):
    """Authenticate the user of an access token of simplejwt or twotoken. The user must exist and be active. One query.

    For a token of simplejwt, ``request.auth`` has the token's claims and ``sub``. ``request.auth.family_id`` is the nil
    UUID, because the token belongs to no token family.
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
        """Return the user whom a token of simplejwt names. Raise a TokenNotValid to refuse the token."""
        return active_user(access["sub"], access.password_digest)


class RevocableAccessTokenAuthentication(AccessTokenAuthentication, authentication.RevocableAccessTokenAuthentication):
    """Also check the token family. A token of simplejwt belongs to no family: only its expiry and user are checked."""


class StatelessAccessTokenAuthentication(AccessTokenAuthentication, authentication.StatelessAccessTokenAuthentication):
    """Make a user from the claims. No query, if simplejwt and twotoken identify users by the same field."""

    def get_old_user(self, access: OldAccessToken) -> Any:
        key = get_user_model()._meta.pk
        names = {"pk", key.name, key.attname}
        if conf.user_id_field == core.user_id_field or {conf.user_id_field, core.user_id_field} <= names:
            return ClaimsUser(access)
        return super().get_old_user(access)
