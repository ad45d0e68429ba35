"""Authentication for a service that only verifies access tokens. Another project, the login project, issues them.

The service needs no user table and no secret, and ``"twotoken"`` need not be in INSTALLED_APPS. So this package must
load no model and no view.

``authentication`` verifies tokens, makes a user from the claims, and keeps the public keys. ``jwks`` reads these keys,
``revocations`` keeps the list of revoked families, and ``fetching`` makes the requests.
"""

from __future__ import annotations

from twotoken.remote.authentication import RemoteAccessTokenAuthentication, RemoteUser

__all__ = ["RemoteAccessTokenAuthentication", "RemoteUser"]
