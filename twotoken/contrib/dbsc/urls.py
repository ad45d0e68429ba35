"""URLs to include in place of ``twotoken.urls``: ``path("api/auth/", include("twotoken.contrib.dbsc.urls"))``."""

from __future__ import annotations

from django.urls import URLPattern, path

from twotoken import urls
from twotoken.contrib.dbsc.views import DeviceRefreshView, DeviceView, LoginView, RefreshView

app_name = urls.app_name

urlpatterns: list[URLPattern] = [
    path("login/", LoginView.as_view(), name="login"),
    path("refresh/", RefreshView.as_view(), name="refresh"),
    path("device/", DeviceView.as_view(), name="device"),
    path("device/refresh/", DeviceRefreshView.as_view(), name="device_refresh"),
    *(pattern for pattern in urls.urlpatterns if pattern.name not in {"login", "refresh"}),
]
