"""DRF authentication classes for access tokens (RFC 6750). They differ in how they find the user of a token.

This module must not import ``rest_framework.views``, not even indirectly: that module reads
DEFAULT_AUTHENTICATION_CLASSES when it is imported.
"""

from __future__ import annotations

from typing import Any

from twotoken import families
from twotoken.bearer import BearerAuthentication
from twotoken.conf import conf
from twotoken.tokens import AccessToken
from twotoken.users import ClaimsUser, load_user


class AccessTokenAuthentication(BearerAuthentication):
    """Authenticate the user of an access token. The user must exist and be active. Each request makes one query.

    Override ``get_user`` to change which user a token stands for, ``get_token`` to read the token from another place,
    and ``verify`` to change what makes a token valid.
    """

    def get_user(self, access: AccessToken) -> Any:
        return load_user(access)


class RevocableAccessTokenAuthentication(AccessTokenAuthentication):
    """Authenticate the user of an access token, and check that the family is active. Each request makes one query.

    So a logout, a revocation or a changed password takes effect at once.
    """

    def get_user(self, access: AccessToken) -> Any:
        return families.user_of(access)


class StatelessAccessTokenAuthentication(AccessTokenAuthentication):
    """Make a user from a token's claims, without a query. Reading anything but its primary key loads the real user.

    If REVOCATION_INTERVAL is set, tokens of revoked families are refused too. To learn which families were revoked,
    each process makes one query per interval.
    """

    def verify(self, token: str) -> AccessToken:
        access = super().verify(token)
        interval = conf.revocation_interval
        if interval is not None:
            families.refuse_revoked(access, interval)
        return access

    def get_user(self, access: AccessToken) -> Any:
        return ClaimsUser(access)
