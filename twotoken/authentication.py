"""DRF authentication classes for access tokens (RFC 6750): header to claims to user.

Must not reach ``rest_framework.views``, which reads DEFAULT_AUTHENTICATION_CLASSES when it is imported.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from twotoken import families, tokens
from twotoken.bearer import bearer_token
from twotoken.conf import conf
from twotoken.exceptions import TokenNotValid
from twotoken.responses import body_of, challenge
from twotoken.tokens import AccessToken
from twotoken.users import ClaimsUser, load_user


class AccessTokenAuthentication(BaseAuthentication):
    """The user of an access token, who must exist and be active. One query.

    To change whom a token stands for, override ``get_user``; where a token comes from and what makes it valid,
    ``get_token`` and ``verify``.
    """

    @sensitive_variables()
    def authenticate(self, request: Request) -> tuple[Any, AccessToken] | None:
        try:
            token = self.get_token(request)
            if token is None:
                return None
            access = self.verify(token)
            return self.get_user(access), access
        except TokenNotValid as exc:
            # DRF asks another instance for the header, so the request has to carry the error.
            request._bearer_error = exc  # type: ignore[attr-defined]
            raise AuthenticationFailed(body_of(exc)) from exc

    def authenticate_header(self, request: Request) -> str:
        return challenge(getattr(request, "_bearer_error", None))

    def get_token(self, request: Request) -> str | None:
        """Return the token that the request carries, or None; raise a TokenNotValid to refuse the request."""
        return bearer_token(request)

    def verify(self, token: str) -> AccessToken:
        """Return the claims of a token; raise a TokenNotValid to refuse it."""
        return tokens.decode_access(token, conf.access_policy, timezone.now())

    def get_user(self, access: AccessToken) -> Any:
        """Return the user of verified claims; raise a TokenNotValid to refuse it."""
        return load_user(access)


class RevocableAccessTokenAuthentication(AccessTokenAuthentication):
    """The user with the token family: logout, revocation and a changed password count at once. One query."""

    def get_user(self, access: AccessToken) -> Any:
        return families.user_of(access)


class StatelessAccessTokenAuthentication(AccessTokenAuthentication):
    """A user made of the claims. No query, until more than its key is asked for."""

    def get_user(self, access: AccessToken) -> Any:
        return ClaimsUser(access)
