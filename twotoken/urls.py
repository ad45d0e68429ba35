"""The URLs of the endpoints. A project includes them: ``path("api/auth/", include("twotoken.urls"))``."""

from __future__ import annotations

from django.urls import URLPattern, path

from twotoken.views import (
    LoginView,
    LogoutAllView,
    LogoutView,
    ReauthenticateView,
    RefreshView,
    SessionsView,
    SessionView,
)

app_name = "twotoken"

urlpatterns: list[URLPattern] = [
    path("login/", LoginView.as_view(), name="login"),
    path("refresh/", RefreshView.as_view(), name="refresh"),
    path("reauthenticate/", ReauthenticateView.as_view(), name="reauthenticate"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("logout/all/", LogoutAllView.as_view(), name="logout_all"),
    path("sessions/", SessionsView.as_view(), name="sessions"),
    path("sessions/<str:family_id>/", SessionView.as_view(), name="session"),
]
