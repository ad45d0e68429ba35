"""How a service that only verifies access tokens learns which families another service has revoked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

import jwt
import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.factories import UserFactory
from tests.integrations.pages import block
from tests.keyserver import Clock, KeyServer, running_key_server
from tests.test_keys import PRIVATE, public_pem
from tests.test_remote import call, service, token_of
from tests.test_revoked import revoked
from twotoken import families
from twotoken.exceptions import RevokedToken, Unavailable
from twotoken.remote import RemoteAccessTokenAuthentication
from twotoken.remote.revocations import RevocationSource
from twotoken.tokens import AccessToken, family_digest

PATH = "/api/revocations/"
INTERVAL = 5.0


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A server that returns the answer that the test has set."""
    with running_key_server() as server:
        yield server


def source_at(url: str, clock: Clock, **options: Any) -> RevocationSource:
    """Return a RevocationSource for a URL."""
    return RevocationSource(url, interval=INTERVAL, clock=clock, **{"seconds": 1.0, **options})


def refused(source: RevocationSource, *families_of: Any) -> list[bool]:
    """Tell for each family whether the source refuses its access tokens."""
    found = []
    for family in families_of:
        try:
            source.refuse_revoked(AccessToken({"sid": str(getattr(family, "family_id", family))}))
        except RevokedToken:
            found.append(True)
        else:
            found.append(False)
    return found


def listing(*sids: Any, since: str = "1", lifetime: Any = 900) -> bytes:
    """Return a list of these families, in the format of RevocationsView."""
    revoked = [family_digest(str(sid)) for sid in sids]
    return json.dumps({"revoked": revoked, "since": since, "lifetime": lifetime}).encode()


@pytest.mark.django_db(transaction=True)
def test_beside_the_view(live_server: Any, clock: Clock) -> None:
    """A RevocationSource that reads RevocationsView refuses a revoked family after the interval."""
    user: Any = UserFactory()
    old, pair, other = revoked(user, timedelta(minutes=5)), families.start(user), families.start(user)
    source = source_at(live_server.url + PATH, clock)
    assert refused(source, old, pair, other) == [True, False, False]
    families.revoke(pair.family_id)
    assert refused(source, old, pair, other) == [True, False, False]
    clock.now += INTERVAL
    assert refused(source, old, pair, other) == [True, True, False]
    clock.now += INTERVAL  # this fetch gets a 304
    assert refused(source, old, pair, other) == [True, True, False]
    families.revoke(other.family_id)
    clock.now += INTERVAL
    assert refused(source, old, pair, other) == [True, True, True]


def test_what_is_asked_for(server: KeyServer, clock: Clock) -> None:
    """Each request for the list has the cursor of the last answer, even if the URL already has a query."""
    server.document = listing(since="1700000000")
    for url, paths in (
        (server.url, ["/.well-known/jwks.json", "/.well-known/jwks.json?since=1700000000"]),
        (f"{server.url}?a=b", ["/.well-known/jwks.json?a=b", "/.well-known/jwks.json?a=b&since=1700000000"]),
    ):
        server.asked.clear()
        source = source_at(url, clock)
        for _ in range(2):
            refused(source, uuid4())
            clock.now += INTERVAL
        assert server.asked == paths


def test_memory_is_bounded(server: KeyServer, clock: Clock) -> None:
    """The source forgets a family when the family's access tokens have expired."""
    first, second = uuid4(), uuid4()
    source = source_at(server.url, clock, leeway=10)
    server.document = listing(first, lifetime=900)
    assert refused(source, first) == [True]
    clock.now += 600
    server.document = listing(second, lifetime=900)
    assert refused(source, first, second) == [True, True]
    clock.now += 370
    assert refused(source, first, second) == [True, True]
    clock.now += INTERVAL
    assert refused(source, first, second) == [False, True]


def test_the_first_list_is_missing(server: KeyServer, clock: Clock) -> None:
    """Without a first list each request raises Unavailable. An error, a redirect or an unexpected 304 is not a list."""
    source = source_at(server.url, clock, seconds=0.2)
    for behaviour in ("broken", "unchanged", "nonsense", "redirect", "hang"):
        server.behaviour = behaviour
        with pytest.raises(Unavailable):
            refused(source, uuid4())
        clock.now += INTERVAL


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"revoked": "abc", "since": "1", "lifetime": 900}',
        b'{"revoked": [1], "since": "1", "lifetime": 900}',
        b'{"revoked": [], "since": 1, "lifetime": 900}',
        b'{"revoked": [], "since": "1&x=y", "lifetime": 900}',
        b'{"revoked": [], "since": "1234567890123", "lifetime": 900}',
        listing(lifetime=0),
        listing(lifetime=True),
        listing(lifetime=1.5),
        listing(lifetime=10**12),
    ],
)
def test_a_document_that_is_none(
    server: KeyServer, clock: Clock, document: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid document counts as no answer, and the log has the URL."""
    server.document = document
    with pytest.raises(Unavailable), caplog.at_level(logging.ERROR, logger="twotoken"):
        refused(source_at(server.url, clock), uuid4())
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]).startswith(f"{server.url}: ")


def test_a_server_that_goes_down(server: KeyServer, clock: Clock) -> None:
    """If the server fails, the old list is used until it is two intervals old. Then requests raise Unavailable."""
    gone = uuid4()
    server.document = listing(gone)
    source = source_at(server.url, clock)
    assert refused(source, gone, uuid4()) == [True, False]
    server.behaviour = "broken"
    clock.now += INTERVAL
    assert refused(source, gone, uuid4()) == [True, False]
    clock.now += INTERVAL
    for _ in range(3):
        with pytest.raises(Unavailable):
            refused(source, uuid4())
    assert len(server.asked) == 3
    server.behaviour = "well"
    clock.now += INTERVAL
    assert refused(source, gone, uuid4()) == [True, False]


def test_many_threads_ask_once(server: KeyServer, clock: Clock) -> None:
    """All threads wait for one fetch of the first list."""
    gone = uuid4()
    server.document = listing(gone)
    source = source_at(server.url, clock)
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(lambda _: refused(source, gone), range(50))) == [[True]] * 50
    assert len(server.asked) == 1


# The authentication class


PUBLIC = public_pem(PRIVATE["ES256"][0])


def sid_of(token: str) -> str:
    """Return the ``sid`` of a token."""
    return str(jwt.decode(token, options={"verify_signature": False})["sid"])


def test_the_class(server: KeyServer) -> None:
    """The authentication class refuses a revoked family with the reason ``revoked``. Without a list it answers 503."""
    gone, other = token_of(), token_of()
    server.document = listing(sid_of(gone))
    values: dict[str, Any] = {"ACCESS_SECRET": PUBLIC, "REVOCATION_INTERVAL": timedelta(hours=1)}
    with service(REVOCATIONS_URL=server.url, **values):
        answers = [call(token) for token in (gone, other, gone)]
    assert [answer.status_code for answer in answers] == [401, 200, 401]
    assert answers[0].data["reason"] == "revoked"
    assert len(server.asked) == 1
    with service(REVOCATIONS_URL=f"{server.url}?nothing=known", **values):
        server.behaviour = "broken"
        answer = call(other)
    assert (answer.status_code, answer.data["code"], answer["Retry-After"]) == (503, "unavailable", "1")
    with service(ACCESS_SECRET=PUBLIC):
        assert call(gone).status_code == 200


class Known(RemoteAccessTokenAuthentication):
    """A service's own authentication class, which sends a header when it fetches a restricted list."""

    revocations_headers: ClassVar[Mapping[str, str]] = {"Authorization": "Basic c2VydmljZTpzZWNyZXQ="}


def test_a_list_that_is_restricted(server: KeyServer) -> None:
    """A subclass can set the headers of the request that fetches the list."""
    server.document, server.behaviour = listing(), "restricted"
    values: dict[str, Any] = {"ACCESS_SECRET": PUBLIC, "REVOCATION_INTERVAL": timedelta(hours=1)}
    with service(REVOCATIONS_URL=server.url, **values):
        assert call(token_of()).status_code == 503
        assert call(token_of(), authentication_classes=[Known]).status_code == 200


def test_a_list_for_each_tenant(server: KeyServer) -> None:
    """The docs' class fetches the list of the token's tenant, and refuses the tokens of other issuers."""
    page: dict[str, Any] = {"__name__": "service"}
    exec(block("tenants", "TenantAuthentication"), page)  # noqa: S102 - our own docs
    classes = [page["TenantAuthentication"]]
    gone, other, unknown = (token_of(issuer=issuer) for issuer in ("https://a/", "https://b/", "https://c/"))
    server.document = listing()
    with running_key_server() as of_a, running_key_server() as of_b:
        of_a.document, of_b.document = listing(sid_of(gone)), listing()
        page["LISTS"] = {"https://a/": of_a.url, "https://b/": of_b.url}
        values = {"ISSUER": None, "REVOCATIONS_URL": f"{server.url}?of=one", "REVOCATION_INTERVAL": timedelta(hours=1)}
        with service(ACCESS_SECRET=PUBLIC, **values):
            answers = [call(token, authentication_classes=classes) for token in (gone, other, unknown)]
    assert [answer.status_code for answer in answers] == [401, 200, 401]
    assert [answers[0].data["reason"], answers[2].data["reason"]] == ["revoked", "invalid"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"REVOCATIONS_URL": "https://auth.example.com/"}, "needs both REVOCATIONS_URL and REVOCATION_INTERVAL"),
        ({"REVOCATION_INTERVAL": timedelta(seconds=5)}, "needs both REVOCATIONS_URL and REVOCATION_INTERVAL"),
        ({"REVOCATIONS_URL": "http://auth.example.com/"}, "must be an https URL"),
        ({"REVOCATIONS_URL": "https://auth.example.com/", "REVOCATION_INTERVAL": 5}, "must be a timedelta"),
    ],
)
def test_settings_of_the_class(values: dict[str, Any], message: str) -> None:
    """REVOCATIONS_URL and REVOCATION_INTERVAL must both be set and valid. Otherwise each request raises an error."""
    with service(ACCESS_SECRET=PUBLIC, **values), pytest.raises(ImproperlyConfigured, match=message):
        call(token_of())
