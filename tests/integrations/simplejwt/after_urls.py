"""URLs after a move from simplejwt: simplejwt's URLs, twotoken's mount, exchanges, a route per authentication class."""

from __future__ import annotations

from django.urls import include, path

from tests.urls import me
from twotoken.contrib.simplejwt.authentication import (
    AccessTokenAuthentication,
    RevocableAccessTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from twotoken.contrib.simplejwt.views import ExchangeView

urlpatterns = [
    path("api/token/", include("twotoken.contrib.simplejwt.urls")),
    path("api/auth/exchange/", ExchangeView.as_view(), name="exchange"),
    path("api/auth/exchange/cookie/", ExchangeView.as_view(old_cookie="old"), name="exchange_cookie"),
    path("api/app/exchange/", ExchangeView.as_view(delivery="body"), name="app_exchange"),
    path("api/auth/", include("twotoken.urls")),
    me("me", AccessTokenAuthentication),
    me("stateless", StatelessAccessTokenAuthentication),
    me("revocable", RevocableAccessTokenAuthentication),
]
