"""DRF authentication classes for access tokens (RFC 6750): from the header to claims to a user.

This module must not import ``rest_framework.views``, not even indirectly: that module reads
DEFAULT_AUTHENTICATION_CLASSES when it is imported.
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
    """Authenticate the user of an access token, who must exist and be active. One query.

    Override ``get_user`` to change which user a token stands for, ``get_token`` to read the token from another place,
    and ``verify`` to change what makes it valid.
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
            # DRF calls authenticate_header() of another instance, so the request carries the error.
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
    """Check the token family too: logout, revocation and a changed password take effect at once. One query."""

    def get_user(self, access: AccessToken) -> Any:
        return families.user_of(access)


class StatelessAccessTokenAuthentication(AccessTokenAuthentication):
    """Make a user of the claims, without a query. Reading more than its primary key loads the real user."""

    def get_user(self, access: AccessToken) -> Any:
        return ClaimsUser(access)
