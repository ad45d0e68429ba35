"""The views of twotoken's endpoints. They read requests, call the functions of ``families``, and answer."""

from __future__ import annotations

from twotoken.views.base import (
    CredentialView,
    TokenView,
    current_family_id,
)
from twotoken.views.logins import (
    LoginView,
    ReauthenticateView,
)
from twotoken.views.origins import (
    check_origin,
    is_trusted,
)
from twotoken.views.refreshing import (
    IDEMPOTENCY_KEY,
    LogoutView,
    RefreshView,
    body_token,
    idempotency_key,
)
from twotoken.views.services import (
    DiscoveryView,
    JWKSView,
    RevocationsView,
)
from twotoken.views.sessions import (
    LogoutAllView,
    SessionsView,
    SessionView,
)

__all__ = [
    "IDEMPOTENCY_KEY",
    "CredentialView",
    "DiscoveryView",
    "JWKSView",
    "LoginView",
    "LogoutAllView",
    "LogoutView",
    "ReauthenticateView",
    "RefreshView",
    "RevocationsView",
    "SessionView",
    "SessionsView",
    "TokenView",
    "body_token",
    "check_origin",
    "current_family_id",
    "idempotency_key",
    "is_trusted",
]
