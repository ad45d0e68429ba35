"""The URLs of the example. Browsers send the refresh token in a cookie, and apps send it in the body."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from example_project.views import BooksView, DocsView, EmailView, FamilyView, FrontEndView, IndexView, MeView
from twotoken.authentication import RevocableAccessTokenAuthentication

urlpatterns = [
    path("", IndexView.as_view()),
    path("frontend/", FrontEndView.as_view()),
    path("api/auth/", include("twotoken.urls")),
    path("api/app/auth/", include("twotoken.urls", namespace="app"), {"delivery": "body"}),
    path("api/me/", MeView.as_view()),
    path("api/me/revocable/", MeView.as_view(authentication_classes=[RevocableAccessTokenAuthentication])),
    path("api/me/email/", EmailView.as_view()),
    path("api/books/", BooksView.as_view()),
    path("api/family/", FamilyView.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(), name="docs"),
    path("admin/", admin.site.urls),
]
