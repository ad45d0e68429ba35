"""URLs to include: ``path("api/auth/", include("twotoken.urls"))``."""

from __future__ import annotations

from django.urls import path

from twotoken.views import LoginView, LogoutAllView, LogoutView, RefreshView

app_name = "twotoken"

urlpatterns = [
    path("login/", LoginView.as_view(), name="login"),
    path("refresh/", RefreshView.as_view(), name="refresh"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("logout/all/", LogoutAllView.as_view(), name="logout_all"),
]
