"""How the admin shows user agents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.staff import CHROME, LIST
from twotoken import families
from twotoken.admin import devices
from twotoken.clients import Client

pytestmark = [pytest.mark.urls("tests.test_admin"), pytest.mark.django_db]


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (CHROME, "Chrome 126 on Windows"),
        ("curl/8.1", "curl 8"),
        ("our own script", "our own script"),
        ("", ""),
        ("<script>", "<script>"),
    ],
)
def test_a_device_in_words(user_agent: str, words: str) -> None:
    """A known user agent is shown in words, such as ``Chrome 126 on Windows``, and an unknown one unchanged."""
    assert devices.describe(user_agent) == words


def test_a_device_without_the_parser(monkeypatch: pytest.MonkeyPatch, user: Any, viewer: Any) -> None:
    """Without the optional parser, the admin shows the user agent unchanged and escaped."""
    monkeypatch.setattr(devices, "parse", None)
    assert devices.describe(CHROME) == CHROME
    families.start(user, Client(None, "<script>alert(1)</script>"))
    assert b"<script>alert" not in viewer.get(LIST).content
