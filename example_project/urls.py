"""Browsers refresh by cookie, apps by body."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from example_project.views import MeView
from twotoken.authentication import RevocableAccessTokenAuthentication

urlpatterns = [
    path("", TemplateView.as_view(template_name="example_project/index.html")),
    path("api/auth/", include("twotoken.urls")),
    path("api/app/auth/", include("twotoken.urls", namespace="app"), {"delivery": "body"}),
    path("api/me/", MeView.as_view()),
    path("api/me/revocable/", MeView.as_view(authentication_classes=[RevocableAccessTokenAuthentication])),
    path("admin/", admin.site.urls),
]
