"""Runs the project before its move: makes tables and users, lets simplejwt issue tokens, and prints them as JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.apps import apps  # noqa: E402 - Django comes first
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken  # noqa: E402

from tests.integrations.simplejwt.key import PASSWORD  # noqa: E402

SPARE = 80


def send(path: str, data: dict[str, str]) -> Any:
    """POST to a view of simplejwt, assert that the answer is a 200, and return the JSON."""
    response = APIClient().post(f"/api/token/{path}", data, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def log_in(name: str) -> Any:
    """Log in, and return the access and refresh token."""
    return send("", {"username": name, "password": PASSWORD})


def issue() -> dict[str, Any]:
    """Make active, inactive and deleted users. Return each user's tokens: some are rotated, blacklisted or expired."""
    names = ("ann", "bob", "cid", "dan", "eve", "fay", "gus")
    users: dict[str, Any] = {name: User.objects.create_user(name, password=PASSWORD) for name in names}
    issued: dict[str, Any] = {name: log_in(name) for name in names}
    if apps.is_installed("rest_framework_simplejwt.token_blacklist"):
        issued["bob"]["rotated"] = send("refresh/", {"refresh": issued["bob"]["refresh"]})
        send("blacklist/", {"refresh": issued["cid"]["refresh"]})
    issued["fay"]["another"] = log_in("fay")
    User.objects.filter(username="dan").update(is_active=False)
    users["eve"].set_password("another password")
    users["eve"].save()
    users["fay"].delete()
    old_access: Any = AccessToken.for_user(users["gus"])
    old_access.set_exp(lifetime=-timedelta(seconds=1))
    old_refresh: Any = RefreshToken.for_user(users["gus"])
    old_refresh.set_exp(lifetime=-timedelta(seconds=1))
    issued["expired"] = {"access": str(old_access), "refresh": str(old_refresh)}
    issued["spare"] = [log_in("gus")["refresh"] for _ in range(SPARE)]
    return issued


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    print(json.dumps(issue()))
