"""Spellings of a user name: which of them the login throttle counts as one name."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from twotoken.throttling import normalize_username

User: Any = get_user_model()

SPELLINGS = [
    "sidious1",
    "SIDIOUS1",
    "Sidious1",
    "s\u00eddious1",
    "sidi\u00f6us1",
    "\uff53idious1",
    "sidious\uff11",
    "\u017fidious1",
    "s\u0131dious1",
    "S\u0130DIOUS1",
    "sidious1 ",
    "sidious1\u00a0",
    "sid\u200bious1",
    "\u00adsidious1",
    "sidious\u2460",
    "sidi\u00f8us1",
    "sidiou\u00df1",
    "sidiouss1",
    "sidi\u0153us1",
    "sidioeus1",
    "sidi ous1",
    "sid\u0640ious1",
    "sidious1\U0001f600",
    "\u0455idious1",
    "sidious2",
    "",
]


@pytest.mark.parametrize("stored", SPELLINGS)
def test_what_the_database_takes_for_one_name(user: Any, stored: str) -> None:
    """All spellings by which the database finds a user are counted as one name."""
    User._default_manager.filter(pk=user.pk).update(**{User.USERNAME_FIELD: stored})
    for name in SPELLINGS:
        if User._default_manager.filter(**{User.USERNAME_FIELD: name}).exists():
            assert normalize_username(name) == normalize_username(stored)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "other", "mysql"),
    [
        ("ann", "ANN", True),
        ("ann", "\u00e4nn", True),
        ("ann", "Ann ", True),
        ("ann", "a\u200bnn", False),
        ("ann", " a n n\t", False),
        ("ann", "\uff41nn", False),
        ("strasse", "STRA\u00dfE", False),
        ("sidious", "s\u0131d\u0131ous", False),
    ],
)
def test_one_name_in_many_spellings(name: str, other: str, mysql: bool) -> None:
    """Spellings of a name count as one name, because a back end may ignore case. On MariaDB the collation decides."""
    collation_decides = connection.vendor == "mysql" and not mysql
    assert collation_decides or normalize_username(other) == normalize_username(name)


@pytest.mark.django_db
def test_names_that_differ() -> None:
    """Different names have different counts."""
    assert (
        len({normalize_username(name) for name in ("ann", "anna", "anne", "a.nn", "ann1", "\u0430\u043d\u043d", "")})
        == 7
    )


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["\ud800", "a\x00nn", "x" * 100_000, "\U0001f600"])
def test_names_that_no_user_has(name: str) -> None:
    """Any text is counted as a name, whether or not a user has this name."""
    assert normalize_username(name) == normalize_username(name)


@pytest.mark.django_db
def test_a_name_of_a_serializer_without_a_limit() -> None:
    """A long name is cut before it is normalized, because 50,000 accents take seconds."""
    start = "a" + "\u0301\u0323" * 300
    assert normalize_username(start) == normalize_username(start + "\u0301\u0323b" * 100)


@pytest.mark.django_db
def test_a_name_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is counted as the field converts it: with an integer field, 007 is the user 7."""
    monkeypatch.setattr(User, "USERNAME_FIELD", User._meta.pk.name)
    spellings = {
        "AutoField": ("7", "007", "\u0667", "abc"),
        "UUIDField": (uuid := str(uuid4()), uuid.upper().replace("-", ""), f"urn:uuid:{uuid}", "abc"),
        "CharField": ("ann", "ann", "ann", "abc"),
    }
    *same, other = map(normalize_username, spellings[User._meta.pk.get_internal_type()])
    assert len({*same}) == 1
    assert other not in same


def test_the_user_table_is_not_read(user: Any) -> None:
    """A known and an unknown name take the same work: one statement on MariaDB, and elsewhere no statement."""
    for name in (user.get_username(), "nobody"):
        with CaptureQueriesContext(connection) as queries:
            normalize_username(name)
        assert len(queries) == (connection.vendor == "mysql")
        assert all("WHERE FALSE UNION" in query["sql"] for query in queries.captured_queries)
