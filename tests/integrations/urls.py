"""The URLs of the tests, and an empty page that loads only the JavaScript client."""

from __future__ import annotations

from django.urls import path

from tests.browser.urls import page, script
from tests.urls import urlpatterns as ours

urlpatterns = [*ours, path("page/", page), path("page.js", script)]
