"""Maps the view of each endpoint to the schema class that describes it."""

from __future__ import annotations

from rest_framework.settings import api_settings
from rest_framework.views import APIView

from twotoken.contrib.spectacular.endpoints import (
    LoginSchema,
    LogoutAllSchema,
    LogoutSchema,
    ReauthenticateSchema,
    RefreshSchema,
    SessionSchema,
    SessionsSchema,
)
from twotoken.contrib.spectacular.layers import with_schema
from twotoken.contrib.spectacular.schemas import TokenSchema
from twotoken.contrib.spectacular.services import DiscoverySchema, JWKSSchema, RevocationsSchema
from twotoken.contrib.spectacular.simplejwt import BlacklistSchema, ExchangeSchema, VerifySchema

# The views are given by name, because this package does not import contrib.simplejwt.
SCHEMAS: dict[str, type[TokenSchema]] = {
    "twotoken.views.logins.LoginView": LoginSchema,
    "twotoken.views.logins.ReauthenticateView": ReauthenticateSchema,
    "twotoken.views.refreshing.RefreshView": RefreshSchema,
    "twotoken.views.refreshing.LogoutView": LogoutSchema,
    "twotoken.views.sessions.LogoutAllView": LogoutAllSchema,
    "twotoken.views.sessions.SessionsView": SessionsSchema,
    "twotoken.views.sessions.SessionView": SessionSchema,
    "twotoken.views.services.JWKSView": JWKSSchema,
    "twotoken.views.services.RevocationsView": RevocationsSchema,
    "twotoken.views.services.DiscoveryView": DiscoverySchema,
    "twotoken.contrib.simplejwt.views.ExchangeView": ExchangeSchema,
    "twotoken.contrib.simplejwt.views.TokenBlacklistView": BlacklistSchema,
    "twotoken.contrib.simplejwt.views.TokenVerifyView": VerifySchema,
}


def replacement_of(view: type[APIView]) -> type[APIView]:
    """Return a subclass of an endpoint's view, with twotoken's description. drf-spectacular describes the subclass."""
    names = (f"{ancestor.__module__}.{ancestor.__name__}" for ancestor in view.__mro__)
    ours = next((SCHEMAS[name] for name in names if name in SCHEMAS), TokenSchema)
    pagination_class = getattr(view, "pagination_class", api_settings.DEFAULT_PAGINATION_CLASS)
    return with_schema(view, ours, pagination_class=pagination_class)
