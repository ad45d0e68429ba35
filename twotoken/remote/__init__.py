"""For a service that only verifies the access tokens of a login project: no user table, no secret, no app to install.

``"twotoken"`` need not be in INSTALLED_APPS. This package must load no model and no view.

``authentication`` verifies tokens, makes a user from the claims, and keeps the public keys. ``jwks`` reads these keys,
``revocations`` keeps the list of revoked families, and ``fetching`` makes the requests.
"""

from __future__ import annotations

from twotoken.remote.authentication import RemoteAccessTokenAuthentication, RemoteUser

__all__ = ["RemoteAccessTokenAuthentication", "RemoteUser"]
