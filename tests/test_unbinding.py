"""Unbinding families from their devices, by a function and by a command."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import UserFactory
from tests.test_revocation import Terminal, many, run
from twotoken import families
from twotoken.clients import Client
from twotoken.exceptions import WrongDevice
from twotoken.families import revocation
from twotoken.models import EventKind, FamilyEvent, RefreshToken

DPOP, DBSC = "dpop:a key", "dbsc:a key"

pytestmark = pytest.mark.django_db


def test_an_unbound_family_goes_on_as_bearer(user: Any) -> None:
    """A token of an unbound family works without a proof. Unbinding adds one event. Other families stay bound."""
    pair, other = families.start(user, device_key=DPOP), families.start(user, device_key=DPOP)
    claims = families.verify(pair.refresh)
    with pytest.raises(WrongDevice):
        families.rotate(claims, Client())
    assert run("unbind_token_families", "--family", str(pair.family_id)) == "1 token family unbound.\n"
    assert families.rotate(claims, Client()).generation == 1
    assert list(RefreshToken.objects.bound().values_list("pk", flat=True)) == [other.family_id]
    event = FamilyEvent.objects.get(kind=EventKind.UNBOUND)
    assert (event.family_id, event.actor) == (pair.family_id, "manage.py unbind_token_families")
    assert run("unbind_token_families", "--family", str(pair.family_id)) == "0 token families unbound.\n"


def test_unbinding_in_batches(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch makes a SELECT and an UPDATE, and adds its events. Revoked and unbound families stay unchanged."""
    monkeypatch.setattr(revocation, "BATCH", 10)
    many(user, 25, device_key=DPOP)
    many(user, 5)
    revoked = families.start(user, device_key=DPOP)
    families.revoke(revoked.family_id)
    batches: list[families.Batch] = []
    with CaptureQueriesContext(connection) as queries:
        assert families.unbind_each(RefreshToken.objects.all(), on_batch=batches.append) == 25
    assert sum(query["sql"].startswith(("SELECT", "UPDATE")) for query in queries.captured_queries) == 6
    assert [batch.changed for batch in batches] == [10, 10, 5]
    assert batches[-1].done == 1
    assert FamilyEvent.objects.filter(kind=EventKind.UNBOUND).count() == 25
    assert RefreshToken.objects.get(device_key=DPOP).pk == revoked.family_id


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--user", "ann"], 2),
        (["--protocol", "dpop"], 2),
        (["--protocol", "dbsc"], 1),
        (["--user", "ann", "--protocol", "dpop"], 1),
        (["--all", "--no-input"], 3),
    ],
)
def test_which_families_are_unbound(options: list[str], expected: int) -> None:
    """Families that match all options are unbound. With ``--dry-run`` they are only counted."""
    people: list[Any] = [UserFactory(email=f"{name}@example.com") for name in ("ann", "bob")]
    ann, bob = people
    options = [ann.get_username() if option == "ann" else option for option in options]
    for owner, key in [(ann, DPOP), (ann, DBSC), (ann, ""), (bob, DPOP)]:
        families.start(owner, device_key=key)
    assert run("unbind_token_families", *options, "--dry-run").startswith(f"{expected} token famil")
    assert RefreshToken.objects.bound().count() == 3
    assert run("unbind_token_families", *options, stderr=Terminal()).startswith(f"{expected} token famil")
    assert RefreshToken.objects.bound().count() == 3 - expected
    assert RefreshToken.objects.active().count() == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "Give --all, or one or more of"),
        (["--all", "--protocol", "dpop"], "can't be combined"),
        (["--user", "nobody"], "no user 'nobody'"),
        (["--family", "x"], "which is a UUID"),
        (["--family", "00000000-0000-0000-0000-000000000000"], "There is no token family"),
        (["--protocol", "mtls"], "invalid choice"),
    ],
)
def test_options_that_name_nothing(options: list[str], problem: str, user: Any) -> None:
    """Without an option that chooses families, the command is refused with a reason."""
    families.start(user, device_key=DPOP)
    with pytest.raises(CommandError, match=problem):
        run("unbind_token_families", *options)
    assert RefreshToken.objects.bound().exists()


def test_all_asks_first(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--all`` says how many families it would unbind, and does nothing if the answer is not yes."""
    families.start(user, device_key=DPOP)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(CommandError, match="Nothing was unbound"):
        run("unbind_token_families", "--all")
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert run("unbind_token_families", "--all").splitlines() == [
        "This unbinds 1 token family: a copy of its token works on any device.",
        "1 token family unbound.",
    ]
