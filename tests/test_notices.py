"""Mails that tell users about the reuse of a refresh token and about logins from new devices."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.checks.registry import registry
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection, transaction
from django.test import modify_settings, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from tests.factories import UserFactory
from tests.http import Caller
from tests.overrides import with_settings
from tests.staff import CHROME
from twotoken import families
from twotoken.clients import Client
from twotoken.contrib.notices.apps import NoticesConfig
from twotoken.contrib.notices.devices import describe, shown_network
from twotoken.contrib.notices.hooks import LABEL
from twotoken.exceptions import ReusedToken
from twotoken.models import RefreshToken
from twotoken.signals import family_started, reuse_detected

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
PHONE = {"HTTP_USER_AGENT": "okhttp/5.1", "REMOTE_ADDR": "203.0.113.77"}
LATER = timedelta(minutes=1)


class ProjectNotices(NoticesConfig):
    """A project's own app config: it changes the address, the language and the subject of the mails."""

    def get_address(self, user: Any) -> str:
        return "security@example.com" if user.email else ""

    def get_language(self, user: Any) -> str | None:
        return "es" if user.email.startswith("juan") else None

    def send(self, message: EmailMultiAlternatives) -> None:
        message.subject = f"[queued] {message.subject}"
        super().send(message)


@contextmanager
def installed(name: str = "twotoken.contrib.notices") -> Iterator[None]:
    """Install the app inside a ``with`` block, and remove its receivers and checks at the end."""
    known = registry.registered_checks, registry.deployment_checks
    registry.registered_checks, registry.deployment_checks = set(known[0]), set(known[1])
    try:
        with modify_settings(INSTALLED_APPS={"append": name}):
            yield
    finally:
        registry.registered_checks, registry.deployment_checks = known
        for signal in (family_started, reuse_detected):
            assert signal.disconnect(dispatch_uid=LABEL)


@pytest.fixture
def outbox(db: None, django_capture_on_commit_callbacks: Any) -> Iterator[Any]:
    """Install the app. Return a function that runs a call with its on-commit callbacks and returns all mails."""

    def run(call: Any) -> list[Any]:
        with django_capture_on_commit_callbacks(execute=True):
            call()
        return mail.outbox

    with installed():
        yield run


def start(user: Any, user_agent: str = CHROME, address: str | None = "198.51.100.7") -> families.TokenPair:
    """Log a user in, a minute after the newest login in the database."""
    latest = RefreshToken.objects.order_by("-created_at").values_list("created_at", flat=True).first()
    with time_machine.travel((latest or timezone.now()) + LATER, tick=False):
        return families.start(user, Client(address, user_agent))


def reuse(user: Any, client: Client | None = None) -> None:
    """Log a user in, rotate the first refresh token, and send it again."""
    claims = families.verify(start(user).refresh)
    families.rotate(claims, Client("198.51.100.7", CHROME))
    with pytest.raises(ReusedToken):
        families.rotate(claims, client or Client("203.0.113.77", FIREFOX))


@time_machine.travel("2026-03-01 12:00Z", tick=False)
def test_a_mail_about_reuse(script: Caller, outbox: Any) -> None:
    """The mail about reuse says what happened, when and from where. It has no token, no id and no full address."""
    token = script.log_in(HTTP_USER_AGENT=FIREFOX).json()["refresh"]
    following = script.refresh(token, HTTP_USER_AGENT=FIREFOX).json()["refresh"]
    (message,) = outbox(lambda: script.refresh(token, **PHONE))
    assert message.to == [script.user.email]
    assert message.subject == "Somebody may have a copy of your login"
    assert message.body == (
        "Hello,\n\nOne of your logins was used twice. Somebody may have a copy of it, so we ended this login on every "
        "device that uses it.\n\nThe second use came from here. This may be your own device or the stranger's."
        "\n\nTime: March 1, 2026, 6 a.m. (CST)\nDevice: OkHttp\nNetwork: 203.0.113.x\n\nIf you do not "
        "recognize it, change your password now: that ends all your other logins too. Then log in again.\n"
    )
    assert message.alternatives == []
    sent = message.message().as_string()
    assert "Auto-Submitted: auto-generated" in sent
    for secret in (token, following, str(RefreshToken.objects.get().pk), "203.0.113.77", "okhttp/5"):
        assert secret not in sent
    with with_settings(REVOKE_ON_REUSE="user"), time_machine.travel("2026-03-01 14:00Z"):
        assert "so we ended all your logins." in outbox(lambda: reuse(script.user))[-1].body


def test_a_mail_about_a_new_device(user: Any, outbox: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A login from a new device sends a mail. A user's first login and an updated browser send none."""
    caplog.set_level(logging.INFO, "twotoken")
    for agent in (CHROME, CHROME, CHROME.replace("126", "127")):
        assert outbox(lambda agent=agent: start(user, agent)) == []
    (message,) = outbox(lambda: start(user, FIREFOX, "2001:db8:7:1::5"))
    assert message.subject == "A new device logged in to your account"
    assert "Device: Firefox on Linux\nNetwork: 2001:db8:7:x\n" in message.body
    assert "If it was you, there is nothing to do." in message.body
    assert f"A notice of new_device was mailed to user {user.pk}." in caplog.text
    assert len(outbox(lambda: start(user, FIREFOX))) == 1
    assert outbox(lambda: start(UserFactory(), FIREFOX))[1:] == []


@pytest.mark.parametrize("agent", ["", "Please visit https://evil.example/ to keep your account"])
def test_what_a_thief_can_write_into_a_mail(user: Any, outbox: Any, agent: str) -> None:
    """A mail never quotes a user agent: it calls an unknown device "unknown". It leaves out a missing address."""
    start(user)
    (message,) = outbox(lambda: start(user, agent, None))
    assert "Device: unknown\n\nIf it was you" in message.body
    assert "evil" not in message.message().as_string()


def test_at_most_one_mail_an_hour(user: Any, outbox: Any) -> None:
    """A user gets at most one mail of each kind in an hour, whatever mails other users get."""
    other = UserFactory()
    start(user)
    start(other)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for agent in (FIREFOX, "curl/8", ""):
            outbox(lambda agent=agent: start(user, agent))
        assert len(mail.outbox) == 1
        for _ in range(3):
            outbox(lambda: reuse(user))
        assert [message.to for message in outbox(lambda: start(other, FIREFOX))] == [
            [user.email],
            [user.email],
            [other.email],
        ]
        clock.shift(timedelta(hours=1, seconds=1))
        assert len(outbox(lambda: start(user, "okhttp/5"))) == 4


def test_a_thief_makes_no_device_known(user: Any, outbox: Any) -> None:
    """If a device has only refreshed with a copied token, its first login still sends a mail."""
    pair = start(user)
    families.rotate(families.verify(pair.refresh), Client("203.0.113.77", FIREFOX))
    assert RefreshToken.objects.get().user_agent == FIREFOX
    assert outbox(lambda: start(user)) == []
    assert len(outbox(lambda: start(user, FIREFOX))) == 1


def test_logins_at_once_do_not_hide_each_other(user: Any, outbox: Any) -> None:
    """If a new device logs in twice at the same moment, the user still gets a mail."""
    start(user)

    def both() -> None:
        with time_machine.travel(timezone.now() + timedelta(hours=1), tick=False):
            for _ in range(2):
                families.start(user, Client(None, FIREFOX))

    assert len(outbox(both)) == 1


def test_what_a_login_costs(user: Any, outbox: Any) -> None:
    """A login and its notice make two SELECTs for a known device, and three for a new one: the third reads the user."""
    start(user)
    for agent, expected in ((CHROME, 2), (FIREFOX, 3)):
        with CaptureQueriesContext(connection) as queries:
            outbox(lambda agent=agent: start(user, agent))
        ours = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
        assert len(ours) - 1 == expected  # ``start`` makes one of them


def test_nothing_to_compare(user: Any, outbox: Any) -> None:
    """Logins without RECORD_CLIENT, and the first login with RECORD_CLIENT, send no mail. Reuse still sends one."""
    with with_settings(RECORD_CLIENT=False):
        for _ in range(2):
            assert outbox(lambda: start(user, "", None)) == []
        (message,) = outbox(lambda: reuse(user, Client()))
        assert "Device: unknown\n\nIf you" in message.body
    RefreshToken.objects.update(user_agent="")
    assert len(outbox(lambda: start(user))) == 1
    with with_settings(RECORD_CLIENT=False):
        assert len(outbox(lambda: start(user, "", None))) == 1


def test_who_gets_no_mail(user: Any, outbox: Any) -> None:
    """A user who is inactive, deleted or without an address gets no mail. A deleted family causes none."""
    users = get_user_model()._default_manager
    start(user)
    for agent, change in {
        "curl/8": lambda: users.update(email=""),
        "okhttp/5": lambda: users.update(email="ann@example.com", is_active=False),
        "shop/1": RefreshToken.objects.all().delete,
    }.items():
        assert outbox(lambda agent=agent, change=change: [start(user, agent), change()]) == []
    user.is_active = True
    user.save()
    start(user)

    def reuse_and_leave() -> None:
        reuse(user)
        users.all().delete()

    assert outbox(reuse_and_leave) == []


@pytest.mark.django_db(transaction=True)
def test_a_login_that_is_undone(user: Any) -> None:
    """The mail about a login is sent when the transaction commits, and is not sent if it is rolled back."""
    with installed():
        start(user)
        for is_undone in (True, False):
            with transaction.atomic():
                start(user, FIREFOX)
                assert mail.outbox == []
                transaction.set_rollback(is_undone)
            assert len(mail.outbox) == (0 if is_undone else 1)


@pytest.mark.django_db(transaction=True)
def test_a_mail_server_that_fails(
    script: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the mail server fails, login and refresh answer as usual, and the log has an error. No mail is retried."""

    def fail(*args: Any) -> int:
        raise OSError("no mail today")

    monkeypatch.setattr(EmailBackend, "send_messages", fail)
    with installed():
        token = script.log_in().json()["refresh"]
        assert script.log_in(**PHONE).status_code == 200
        assert script.log_in(HTTP_USER_AGENT="curl/8").status_code == 200
        script.refresh(token)
        assert script.refresh(token).json()["reason"] == "reused"
    assert caplog.text.count("A notice could not be sent.") == caplog.text.count("OSError: no mail today") == 2


class Refusing:
    """A cache that stores nothing, as if its client ignored that the server is down."""

    def add(self, *args: Any) -> bool:
        return False

    def get(self, key: str) -> None:
        return None


class Down(Refusing):
    """A cache that raises an error on each call."""

    def add(self, *args: Any) -> bool:
        raise ConnectionError("no cache")


@pytest.mark.parametrize(
    ("stand_in", "said"),
    [(Refusing(), "The cache did not store that a notice is sent"), (Down(), "no cache")],
)
def test_a_cache_that_fails(
    user: Any, outbox: Any, stand_in: Any, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the cache fails, no mail is sent: the limit of one mail an hour can't be checked. The log has an error."""
    for name in ("add", "get"):
        monkeypatch.setattr(cache, name, getattr(stand_in, name), raising=False)
    start(user)
    assert outbox(lambda: start(user, FIREFOX)) == []
    assert [record.levelname for record in caplog.records if said in caplog.text] == ["ERROR"]


@pytest.mark.parametrize(
    ("language", "subject", "device"),
    [
        ("en", "A new device logged in to your account", "Device: Firefox on Linux"),
        ("de", "Ein neues Gerät hat sich bei Ihrem Konto angemeldet", "Gerät: Firefox auf Linux"),
        ("es", "Un dispositivo nuevo ha iniciado sesión en su cuenta", "Dispositivo: Firefox en Linux"),
        ("fr", "Un nouvel appareil s\u2019est connecté à votre compte", "Appareil : Firefox sur Linux"),
    ],
)
def test_the_language_of_the_request(user: Any, outbox: Any, language: str, subject: str, device: str) -> None:
    """A mail is in the active language. With LocaleMiddleware that is the language of the request."""
    start(user)
    with translation.override(language):
        (message,) = outbox(lambda: start(user, FIREFOX))
    assert message.subject == subject
    assert device in message.body


@pytest.mark.parametrize(("email", "subject"), [("juan@example.com", "Un disp"), ("ann@example.com", "Ein neues")])
@override_settings(LANGUAGE_CODE="de")
def test_what_a_project_can_change(
    user: Any, django_capture_on_commit_callbacks: Any, email: str, subject: str
) -> None:
    """A subclass of the app config chooses address, language and sending. The language None means LANGUAGE_CODE."""
    user.email = email
    user.save()
    start(user)
    with (
        installed("tests.test_notices.ProjectNotices"),
        django_capture_on_commit_callbacks(execute=True),
        translation.override("fr"),
    ):
        start(user, FIREFOX)
    (message,) = mail.outbox
    assert message.to == ["security@example.com"]
    assert message.subject.startswith(f"[queued] {subject}")


def test_templates_of_the_project(user: Any, outbox: Any, tmp_path: Path, settings: Any) -> None:
    """A project's templates replace those of the app. An ``.html`` template becomes the second part of the mail."""
    folder = tmp_path / "twotoken" / "notices"
    folder.mkdir(parents=True)
    (folder / "new_device_subject.txt").write_text("Shop:\n {{ user.email }}\n")
    (folder / "new_device.html").write_text("<p>{{ device }}, {{ network }}, {{ time.year }}</p>")
    start(user)
    with override_settings(TEMPLATES=[{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]):
        (message,) = outbox(lambda: start(user, FIREFOX))
    assert message.subject == f"Shop: {user.email}"
    assert message.body.startswith("Hello,")
    year = RefreshToken.objects.latest("created_at").created_at.year
    assert message.alternatives == [(f"<p>Firefox on Linux, 198.51.100.x, {year}</p>", "text/html")]


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (CHROME, "Chrome on Windows"),
        (f"{CHROME} Edg/126.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit Safari/605", "Safari on macOS"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/126.0 Mobile Safari/537", "Chrome on Android"),
        ("python-httpx/0.28", "Python"),
        ("Windows", "Windows"),
        ("shop/1.0", ""),
    ],
)
def test_words_for_a_device(user_agent: str, words: str) -> None:
    """The names of browsers and systems come from a fixed list. Other names are left out."""
    assert describe(user_agent) == words


@pytest.mark.parametrize(
    ("address", "shown"),
    [(None, ""), ("203.0.113.77", "203.0.113.x"), ("2001:db8::1", "2001:db8:0:x"), ("::1", "0:0:0:x")],
)
def test_the_network_part_of_an_address(address: str | None, shown: str) -> None:
    """An IPv4 address loses its last part, and an IPv6 address all but its first 48 bits."""
    assert shown_network(address) == shown


def ids(*, deploy: bool = False, name: str = "twotoken.contrib.notices") -> list[str]:
    """Run Django's checks with the app installed, and return the ids of the app's messages."""
    with installed(name):
        found = run_checks(include_deployment_checks=deploy)
    ours = [message for message in found if (message.id or "").startswith("twotoken_notices")]
    assert all(message.hint for message in ours)
    return [str(message.id).partition(".")[2] for message in ours]


@pytest.mark.django_db(databases=["default", "replica"])
def test_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each configuration that would keep users from getting mails is reported by a check with its own id."""
    assert ids() == []
    with override_settings(TEMPLATES=[]):
        assert ids() == ["E001"]
    with with_settings(RECORD_CLIENT=False):
        assert ids() == ["W001"]
    with with_settings(RECORD_CLIENT="no"):  # twotoken.E003 reports it
        assert ids() == []
    monkeypatch.setattr(get_user_model(), "EMAIL_FIELD", "address")
    assert ids() == ["W002"]
    assert ids(name="tests.test_notices.ProjectNotices") == []
    assert ids(deploy=True, name="tests.test_notices.ProjectNotices") == ["W003"]
    memcached = {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache"}
    with override_settings(CACHES={"default": memcached}):
        assert ids(deploy=True, name="tests.test_notices.ProjectNotices") == []


def test_without_the_app(script: Caller, django_capture_on_commit_callbacks: Any) -> None:
    """A project that does not install the app sends no mail and registers no receiver."""
    with django_capture_on_commit_callbacks() as callbacks:
        script.log_in()
        script.log_in(**PHONE)
    assert (callbacks, mail.outbox) == ([], [])
