"""Members of staff, and the pages that they see."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client as Browser

from tests.factories import UserFactory

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0 Safari/537"
LIST = "/admin/twotoken/refreshtoken/"


def staff(*codenames: str, **values: Any) -> Any:
    """Return a browser in which a member of staff with these permissions is logged in."""
    user: Any = UserFactory(is_staff=True, **values)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(codenames)
    browser: Any = Browser()
    browser.force_login(user)
    browser.user = user
    return browser


def page(family: Any) -> str:
    """Return the URL of a family's page."""
    return f"{LIST}{getattr(family, 'family_id', family)}/change/"


def text(response: Any) -> str:
    """Return a page's text, without tags."""
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))
