"""``manage.py twotoken_doctor`` names the fault of each broken set-up, and its remedy."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import Warning
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings
from django.test.utils import override_system_checks
from django.utils import timezone

from tests.factories import PASSWORD
from tests.overrides import with_settings
from tests.proxy import Proxy, behind
from tests.server import free_port
from tests.tls import make_certificate
from twotoken import families
from twotoken.management.commands import twotoken_doctor
from twotoken.management.doctor import mount_url
from twotoken.management.doctor.transports import Answer, OverHTTP
from twotoken.models import RefreshToken

pytestmark = pytest.mark.django_db(databases=["default", "replica"])

urlpatterns: list[Any] = []
PAGE = "https://localhost:5173"
CORS: dict[str, Any] = {
    "origin": PAGE,
    "credentials": True,
    "headers": ["Authorization", "Content-Type", "Idempotency-Key"],
    "methods": ["POST", "DELETE"],
    "exposed": ["Retry-After"],
    "only_preflight": False,
}
HEALTHY: dict[str, Any] = {
    "MAILERS": {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}},  # Django 6.1 checks it
    "ROOT_URLCONF": "tests.doctor_urls",
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "api.example.com"],
    "MIDDLEWARE": ["tests.cors.Cors", *settings.MIDDLEWARE],
    "TEST_CORS": CORS,
    "CSRF_TRUSTED_ORIGINS": [PAGE],
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
}


@dataclass
class Broken:
    """A set-up with one fault: what differs from a healthy one, which probe finds the fault, and part of the remedy."""

    probe: str
    remedy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    twotoken: Mapping[str, Any] = field(default_factory=dict)
    cors: Mapping[str, Any] = field(default_factory=dict)
    proxy: Proxy = field(default_factory=Proxy)
    url: str = "https://localhost:{port}/api/auth/"
    page: str = PAGE
    clock: timedelta = timedelta()
    http: bool = True

    @property
    def all_settings(self) -> dict[str, Any]:
        """The settings of this set-up."""
        changed = {"TEST_CORS": {**CORS, **self.cors}, "TWOTOKEN": {**settings.TWOTOKEN, **self.twotoken}}
        return {**HEALTHY, **changed, **self.settings}


class ReadsReplica:
    """A database router that sends reads of families and permissions to the replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read families and permissions from the replica."""
        return "replica" if model in {RefreshToken, Permission} else "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the default database."""
        return "default"


def count_families(user: Any, family: Any) -> dict[str, Any]:
    """Return claims that count the user's families. By mistake the query does not name the write database."""
    return {"permissions": Permission.objects.count(), "sessions": RefreshToken.objects.filter(user_id=user.pk).count()}


def cache(kind: str) -> dict[str, Any]:
    """Return a CACHES setting with a back end of Django."""
    return {"CACHES": {"default": {"BACKEND": f"django.core.cache.backends.{kind}"}}}


SHOP = "https://localhost:{port}/shop/api/auth/"
API = "https://api.example.com/api/auth/"
APP = {"CSRF_TRUSTED_ORIGINS": ["https://app.example.com", "https://app.example.net"]}
BROKEN = {
    "http and a Secure cookie": Broken(
        "cookie", "Use https.", url="http://api.example.com/api/auth/", page="http://api.example.com", http=False
    ),
    "a page on localhost and the API on 127.0.0.1": Broken(
        "cookie",
        f"open the page at {PAGE.replace('localhost', '127.0.0.1')}",
        url="https://localhost:{port}/api/auth/".replace("localhost", "127.0.0.1"),
    ),
    "a prefix that the proxy strips": Broken(
        "cookie", "FORCE_SCRIPT_NAME = '/shop'", url=SHOP, proxy=Proxy(strips="/shop")
    ),
    "a path that the proxy strips": Broken("reach", "pass on the path /api/auth/", proxy=Proxy(strips="/api")),
    "a scheme that is not trusted": Broken(
        "address", "set SECURE_PROXY_SSL_HEADER = ", settings={"SECURE_PROXY_SSL_HEADER": None}
    ),
    "a scheme that the proxy does not send": Broken("address", "X-Forwarded-Proto", proxy=Proxy(sends_scheme=False)),
    "a redirect to https for ever": Broken(
        "reach",
        "X-Forwarded-Proto",
        proxy=Proxy(sends_scheme=False),
        settings={
            "SECURE_SSL_REDIRECT": True,
            "MIDDLEWARE": ["django.middleware.security.SecurityMiddleware", *HEALTHY["MIDDLEWARE"]],
        },
    ),
    "a Host that the proxy loses": Broken("address", "proxy_set_header Host", proxy=Proxy(keeps_host=False)),
    "a Host that Django does not know": Broken(
        "reach", "ALLOWED_HOSTS", settings={"ALLOWED_HOSTS": ["localhost"]}, proxy=Proxy(keeps_host=False)
    ),
    "an origin that is not trusted": Broken("origin", "CSRF_TRUSTED_ORIGINS", settings={"CSRF_TRUSTED_ORIGINS": []}),
    "CORS without the origin": Broken("cors", "CORS_ALLOWED_ORIGINS", cors={"origin": "https://other.example.com"}),
    "CORS for every origin": Broken("cors", "CORS_ALLOW_ALL_ORIGINS to False", cors={"origin": "*"}),
    "CORS without credentials": Broken("cors", "CORS_ALLOW_CREDENTIALS", cors={"credentials": False}),
    "CORS without Idempotency-Key": Broken(
        "cors",
        "CORS_ALLOW_HEADERS to [*corsheaders.defaults.default_headers, 'idempotency-key']",
        cors={"headers": ["Authorization", "Content-Type"]},
    ),
    "CORS without DPoP": Broken(
        "cors",
        "'dpop'",
        twotoken={"DPOP": "optional"},
        settings={"SILENCED_SYSTEM_CHECKS": ["twotoken.W014"]},
        cors={"exposed": ["Retry-After", "DPoP-Nonce", "WWW-Authenticate", "Date"]},
    ),
    "CORS without Retry-After": Broken("cors", "CORS_EXPOSE_HEADERS", cors={"exposed": []}),
    "CORS without DELETE": Broken("cors", "CORS_ALLOW_METHODS", cors={"methods": ["POST"]}),
    "CORS below another middleware": Broken("cors", "CorsMiddleware first", cors={"only_preflight": True}),
    "a front end of another site": Broken(
        "cookie",
        "TWOTOKEN['COOKIE_SAMESITE'] to 'None'",
        url=API,
        page="https://app.example.net",
        http=False,
        settings=APP,
        cors={"origin": "https://app.example.net"},
    ),
    "a Domain of another host": Broken(
        "cookie",
        "COOKIE_DOMAIN",
        twotoken={"COOKIE_DOMAIN": "example.org"},
        settings={"SILENCED_SYSTEM_CHECKS": ["twotoken.W005"]},
    ),
    "a cache of each process": Broken(
        "twotoken.W006",
        "Use a shared cache",
        twotoken={"LOGIN_THROTTLE": "10/min"},
        settings=cache("locmem.LocMemCache"),
    ),
    "a cache that keeps nothing": Broken("cache", "Redis", settings=cache("dummy.DummyCache")),
    "a database whose clock is wrong": Broken("clock", "NTP", clock=timedelta(minutes=3)),
    "code that reads a replica": Broken(
        "replica",
        "RefreshToken.objects.primary()",
        twotoken={"ACCESS_CLAIMS": "tests.test_doctor.count_families"},
        settings={"DATABASE_ROUTERS": ["tests.test_doctor.ReadsReplica"]},
    ),
    "URLs that are not mounted": Broken(
        "mounts", "include('twotoken.urls')", settings={"ROOT_URLCONF": "tests.test_doctor"}
    ),
    "no secret": Broken("twotoken.E004", "generate_token_secrets", twotoken={"ACCESS_SECRET": None}),
    "a proxy without a server behind it": Broken(
        "reach", "the server behind the proxy", proxy=Proxy(status="502 Bad Gateway")
    ),
    "another server": Broken("reach", "correct --url", proxy=Proxy(status="200 OK")),
    "a redirect elsewhere": Broken(
        "reach",
        "Use the address that it redirects to",
        proxy=Proxy(status="301 Moved Permanently", headers=(("Location", "https://example.com/"),)),
    ),
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@contextmanager
def served(broken: Broken, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a set-up, and yield its URL."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with ExitStack() as stack:
        stack.enter_context(override_settings(**broken.all_settings))
        port = 0
        if broken.http:
            secured = certificate if broken.url.startswith("https") else None
            port = stack.enter_context(behind(broken.proxy, secured))
        if broken.clock:
            stack.enter_context(time_machine.travel(timezone.now() + broken.clock))
        yield broken.url.format(port=port)


def examine(*arguments: str) -> tuple[bool, list[dict[str, str]]]:
    """Run ``twotoken_doctor --json``. Return whether nothing is wrong, and the findings."""
    out = StringIO()
    try:
        call_command("twotoken_doctor", "--json", *arguments, stdout=out)
    except CommandError as exc:
        assert str(exc).endswith("wrong.")  # noqa: PT017 - without an error all is well
    report = json.loads(out.getvalue())
    return report["ok"], report["findings"]


def faults(found: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return the probes that found a fault, and their remedies."""
    return [(each["probe"], each["remedy"]) for each in found if each["status"] == "wrong"]


def test_a_healthy_set_up(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor finds no fault in a set-up behind a proxy, with a front end of another origin."""
    with served(Broken("", ""), certificate, monkeypatch) as url:
        is_well, found = examine("--url", url, "--front-end", PAGE)
    assert is_well
    assert faults(found) == []
    assert [each["probe"] for each in found] == [
        *("checks", "cache", "tables", "clock", "families", "mounts", "login", "replica"),
        *("reach", "server clock", "address", "cookie", "origin", "cors", "client address"),
    ]
    assert not RefreshToken.objects.exists()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_set_up(name: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reports the one fault of each broken set-up, and the setting that fixes it."""
    broken = BROKEN[name]
    with served(broken, certificate, monkeypatch) as url:
        http = [] if broken.http else ["--no-http"]
        is_well, found = examine("--url", url, "--front-end", broken.page, *http)
    assert not is_well
    ((probe, remedy),) = faults(found)
    assert probe == broken.probe
    assert broken.remedy in remedy


def told(*arguments: str, **options: Any) -> str:
    """Return the text that ``twotoken_doctor`` prints without ``--json``."""
    out = StringIO()
    with (
        pytest.raises(CommandError, match=r"(thing is|things are) wrong\.$")
        if options.pop("fails", False)
        else (ExitStack())
    ):
        call_command("twotoken_doctor", *arguments, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def healthy() -> Iterator[None]:
    """The settings of a healthy set-up."""
    with override_settings(**HEALTHY):
        yield


@pytest.mark.usefixtures("healthy")
def test_one_line_each() -> None:
    """Without ``--json``, each finding is one line that starts with its status. On a terminal the line has a colour."""
    lines = told().splitlines()
    assert len(lines) == len(examine()[1])
    assert lines[0] == "ok      checks: manage.py check --deploy finds no error, and no twotoken warning."
    assert "\x1b[32" in told(force_color=True)
    with override_settings(ROOT_URLCONF="tests.test_doctor"):
        line = told(fails=True).splitlines()[-1]
    assert line.startswith("wrong   mounts: twotoken.urls is not mounted. There is no login. Add path(")


@pytest.mark.usefixtures("healthy")
def test_nothing_is_left_behind(user: Any) -> None:
    """The doctor's trial login leaves no family, user or ``last_login`` behind, with and without ``--user``."""
    before = type(user)._default_manager.count()
    assert examine()[0]
    assert login_of(user)[0]
    user.refresh_from_db()
    assert (type(user)._default_manager.count(), user.last_login) == (before, None)
    assert not RefreshToken.objects.exists()


def login_of(user: Any, *arguments: str, password: str = PASSWORD) -> tuple[bool, list[dict[str, str]]]:
    """Run the doctor for a user, with the user's password in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(twotoken_doctor.PASSWORD, password)
        return examine("--user", user.get_username(), *arguments)


@pytest.mark.usefixtures("healthy")
def test_a_wrong_password(user: Any) -> None:
    """A refused trial login is a finding, and the report does not contain the password."""
    is_well, found = login_of(user, password="not the password")
    assert not is_well
    ((probe, remedy),) = faults(found)
    assert probe == "login"
    assert "is_active" in remedy
    assert "not the password" not in json.dumps(found)


@pytest.mark.usefixtures("healthy")
def test_where_the_password_comes_from(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TWOTOKEN_DOCTOR_PASSWORD the doctor asks for the password, or raises an error if there is no terminal."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(CommandError, match="TWOTOKEN_DOCTOR_PASSWORD"):
        call_command("twotoken_doctor", user=user.get_username())
    monkeypatch.setenv(twotoken_doctor.PASSWORD, "")
    with pytest.raises(CommandError, match="TWOTOKEN_DOCTOR_PASSWORD"):
        call_command("twotoken_doctor", user=user.get_username())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD)
    assert "wrong" not in told(user=user.get_username())


@pytest.mark.parametrize(
    "url", ["api.example.com", "ftp://api.example.com", "https://", "https://a:b@c/", "http://a:0/", "http://a:x/"]
)
def test_an_address_that_is_no_url(url: str) -> None:
    """``--url`` takes only http and https URLs, without a password."""
    with pytest.raises(CommandError, match="is not an http or https URL"):
        call_command("twotoken_doctor", "--url", url)


@pytest.mark.usefixtures("healthy")
def test_an_address_with_its_default_port() -> None:
    """The doctor leaves the default port out of the URL, because browsers do."""
    assert examine("--url", "https://API.example.com:443/api/auth", "--no-http")[0]
    assert mount_url("https://API.example.com:443/api/auth").geturl() == API


def test_a_front_end_without_an_api() -> None:
    """``--front-end`` without ``--url`` is an error."""
    with pytest.raises(CommandError, match="--front-end needs --url"):
        call_command("twotoken_doctor", "--front-end", PAGE)


MOUNTS = [("/api/auth/", "cookie"), ("/api/app/auth/", "body"), ("/api/tool/auth/", "none")]
MANY = {"ROOT_URLCONF": "tests.urls", "SILENCED_SYSTEM_CHECKS": ["twotoken.W012"]}
ONE_PROXY = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
BEHIND = Proxy(address="10.0.0.9")


@pytest.fixture
def visited(transactional_db: None, user: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that runs the doctor for a user, against a server behind a proxy, and returns the findings."""

    def visit(
        path: str = "/api/auth/", proxy: Proxy = BEHIND, *, in_words: bool = False, **changed: Any
    ) -> dict[str, tuple[str, str]]:
        broken = Broken(
            "",
            "",
            settings=changed.pop("settings", {"REST_FRAMEWORK": ONE_PROXY}),
            twotoken=changed,
            proxy=proxy,
        )
        with served(broken, certificate, monkeypatch) as url:
            found = login_of(user, "--url", url.replace("/api/auth/", path), password=PASSWORD)[1]
        assert families.active(user).exists() == (proxy.fails_at == "logout/")
        return {each["probe"]: (each["status"], each["remedy"] * (not in_words) or each["text"]) for each in found}

    yield visit
    connections.close_all()


@pytest.mark.parametrize(("path", "delivery"), MOUNTS)
def test_a_login_over_http(visited: Any, path: str, delivery: str) -> None:
    """At mounts of each delivery, the doctor logs in and out, with and without a DPoP proof."""
    found = visited(path, settings={**MANY, "REST_FRAMEWORK": ONE_PROXY})
    assert {status for status, _ in found.values()} == {"ok"}
    assert {"secrets", "client address", "login over HTTP", "htu"} <= set(found)
    assert ("cookie" in found, "address" in found) == (delivery == "cookie",) * 2


def test_a_server_with_other_secrets(visited: Any) -> None:
    """An access token that can't be verified with these settings is a finding, and the doctor continues."""
    found = visited(proxy=Proxy(spoils_access=True))
    status, remedy = found["secrets"]
    assert status == "wrong"
    assert "the same secrets" in remedy
    assert found["login over HTTP"][0] == "ok"


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        (Proxy(fails_at="login/"), "The login was answered with a 503."),
        (Proxy(fails_at="logout/"), "The logout was answered with a 503."),
        (Proxy(keeps_one_cookie=True), "The refresh was answered with a 401 token_not_valid."),
    ],
)
def test_a_step_that_fails_over_http(visited: Any, proxy: Proxy, text: str) -> None:
    """If a step over HTTP fails, the doctor names the step, and does not log in again with a DPoP proof."""
    found = visited(proxy=proxy, in_words=True)
    assert found["login over HTTP"] == ("wrong", text)
    assert "htu" not in found


def test_the_doctor_is_throttled(visited: Any) -> None:
    """The login throttle counts the doctor's logins. The rate 2/min refuses the third login, which has a DPoP proof."""
    silenced = {"SILENCED_SYSTEM_CHECKS": ["twotoken.W006"]}
    status, remedy = visited(proxy=Proxy(), settings=silenced, LOGIN_THROTTLE="2/min")["htu"]
    assert status == "wrong"
    assert "Retry-After" in remedy


def test_a_proxy_whose_clients_count_as_one(visited: Any) -> None:
    """The doctor reports a proxy without NUM_PROXIES, because the login throttle would count all clients as one."""
    found = visited(settings={}, LOGIN_THROTTLE="10/min")
    assert [name for name, (status, _) in found.items() if status == "wrong"] == ["twotoken.W006", "client address"]
    assert "NUM_PROXIES" in found["client address"][1]


def test_a_project_that_stores_no_address(visited: Any) -> None:
    """With RECORD_CLIENT off the doctor can't tell which address Django sees."""
    status, text = visited(RECORD_CLIENT=False)["client address"]
    assert status == "skipped"
    assert "RECORD_CLIENT" in text


def test_a_proof_for_an_address_that_django_does_not_see(visited: Any) -> None:
    """If the proxy does not send the scheme, the doctor reports that no login with a DPoP proof works."""
    found = visited(proxy=Proxy(sends_scheme=False))
    assert [name for name, (status, _) in found.items() if status == "wrong"] == ["address", "htu"]


def test_proofs_with_nonces(visited: Any) -> None:
    """With DPOP_NONCE the doctor repeats its login with the server's nonce, and the login succeeds."""
    settings = {"REST_FRAMEWORK": ONE_PROXY, "SILENCED_SYSTEM_CHECKS": ["twotoken.W014"]}
    assert visited(settings=settings, DPOP_NONCE=True)["htu"][0] == "ok"


def test_proofs_that_are_off_or_required(visited: Any) -> None:
    """The doctor skips the login with a proof if DPOP is ``off``, and the login without one if it is ``required``."""
    assert visited(DPOP="off")["htu"][0] == "skipped"
    settings = {"REST_FRAMEWORK": ONE_PROXY, "SILENCED_SYSTEM_CHECKS": ["twotoken.W014"]}
    found = visited(settings=settings, DPOP="required")
    assert (found["login"][0], found["client address"][0], found["htu"][0]) == ("skipped", "skipped", "ok")


def only_fault() -> dict[str, str]:
    """Return the one fault that the doctor finds in this process."""
    (found,) = (each for each in examine()[1] if each["status"] == "wrong")
    return found


@pytest.mark.usefixtures("healthy", "db")
def test_warnings_of_packages() -> None:
    """The doctor reports warnings of twotoken's packages in contrib, and not those of other apps."""

    def check(**kwargs: Any) -> list[Warning]:
        return [Warning("Theirs.", id="theirs.W001"), Warning("Ours.", hint="Do it.", id="twotoken_notices.W001")]

    with override_system_checks([check]):
        fault = only_fault()
    assert (fault["probe"], fault["text"], fault["remedy"]) == ("twotoken_notices.W001", "Ours.", "Do it.")


@pytest.mark.usefixtures("healthy")
def test_a_purge_that_does_not_run(user: Any) -> None:
    """If the purge does not run, the doctor reports the age of the oldest family that a purge would delete."""
    start = timezone.now() - timedelta(days=100)
    families.start(user)
    RefreshToken.objects.create(user=user, created_at=start, revoked_at=start)
    fault = only_fault()
    assert fault["probe"] == "families"
    assert fault["text"] == "2 token families. The oldest that a purge would delete was started 100 days ago."
    assert "purge_token_families daily" in fault["remedy"]


class Slow(LocMemCache):
    """A cache with an ``add`` that is not atomic, so that several threads can add the same key."""

    def add(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> bool:
        """Read the key, wait, and write it."""
        is_new = self.get(key) is None
        time.sleep(0.05)
        self.set(key, value, timeout)
        return is_new


@pytest.mark.usefixtures("healthy")
def test_a_cache_that_is_not_atomic() -> None:
    """The doctor reports a cache in which several threads can add the same key, because throttles would miscount."""
    with override_settings(CACHES={"default": {"BACKEND": "tests.test_doctor.Slow"}}):
        fault = only_fault()
    assert fault["probe"] == "cache"
    assert "8 of 8 threads could add" in fault["text"]


class Broken500:
    """A middleware that raises an error at one endpoint."""

    endpoint = ""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        if request.path.endswith(f"/{self.endpoint}/"):
            raise LookupError("a secret of the project")
        return self.get_response(request)


class BrokenLogin(Broken500):
    """Raises an error at the login."""

    endpoint = "login"


class BrokenRefresh(Broken500):
    """Raises an error at the refresh."""

    endpoint = "refresh"


class BrokenLogout(Broken500):
    """Raises an error at the logout."""

    endpoint = "logout"


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("step", ["login", "refresh", "logout"])
def test_a_step_that_fails(step: str) -> None:
    """If a step of the trial login raises an error, the doctor names the step and the error's class, not its text."""
    middleware = [f"tests.test_doctor.Broken{step.capitalize()}", *HEALTHY["MIDDLEWARE"]]
    with override_settings(MIDDLEWARE=middleware):
        fault = only_fault()
    assert fault["probe"] == "login"
    assert fault["text"] == f"The {step} was answered with a 500 LookupError."
    assert "secret" not in json.dumps(fault)


class DropsCookies:
    """A middleware that drops the cookies of answers."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response.cookies.clear()
        return response


@pytest.mark.usefixtures("healthy")
def test_cookies_that_are_dropped() -> None:
    """If a middleware drops all cookies, the probes ``login`` and ``cookie`` report it."""
    with override_settings(MIDDLEWARE=["tests.test_doctor.DropsCookies", *HEALTHY["MIDDLEWARE"]]):
        found = faults(examine("--url", API, "--no-http")[1])
    assert [probe for probe, _ in found] == ["login", "cookie"]


@pytest.mark.usefixtures("healthy")
def test_a_third_party_cookie() -> None:
    """The doctor accepts a third-party cookie with SameSite=None, and says that Safari blocks it."""
    changed = {"TWOTOKEN": {**settings.TWOTOKEN, "COOKIE_SAMESITE": "None"}, **APP}
    page = "https://app.example.net"
    with override_settings(**changed, TEST_CORS={**CORS, "origin": page}):
        is_well, found = examine("--url", API, "--no-http", "--front-end", page)
    assert is_well
    assert "Safari" in next(each["text"] for each in found if each["probe"] == "cookie")


@pytest.mark.usefixtures("healthy")
def test_a_page_of_the_same_origin() -> None:
    """For a page of the API's own origin, the doctor needs no CORS headers."""
    with override_settings(TEST_CORS={**CORS, "origin": ""}):
        is_well, found = examine("--url", API, "--no-http", "--front-end", "https://api.example.com")
    assert is_well
    assert found[-1]["text"] == "The page and the API have one origin, so CORS is not needed."


def test_a_page_at_the_body_mount() -> None:
    """For a page that uses the delivery ``body``, the doctor needs CORS, but no credentials and no trusted origin."""
    changed = {**HEALTHY, **MANY, "CSRF_TRUSTED_ORIGINS": [], "TEST_CORS": {**CORS, "credentials": False}}
    with override_settings(**changed):
        is_well, found = examine("--url", API.replace("/auth", "/app/auth"), "--no-http", "--front-end", PAGE)
    assert is_well
    assert [each["probe"] for each in found[-2:]] == ["reach", "cors"]


@pytest.mark.usefixtures("healthy")
def test_a_server_that_does_not_run() -> None:
    """If no server listens at ``--url``, the doctor names the URL and the error, and says to start the server."""
    url = f"http://127.0.0.1:{free_port()}/api/auth/"
    found = examine("--url", url)[1]
    ((probe, _),) = faults(found)
    assert probe == "reach"
    assert f"{url} does not answer: [Errno" in found[-1]["text"]
    assert "Connection refused" in found[-1]["text"]
    assert "Start the server" in found[-1]["remedy"]


@pytest.mark.usefixtures("healthy")
def test_a_server_that_hangs_up() -> None:
    """If the server closes the connection without an answer, the probe ``reach`` names the error."""

    def hang_up(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.recv(9999)  # otherwise the connection is reset instead

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        found = examine("--url", f"http://127.0.0.1:{server.getsockname()[1]}/api/auth/")[1]
        thread.join()
    assert [probe for probe, _ in faults(found)] == ["reach"]
    assert "does not answer: RemoteDisconnected" in found[-1]["text"]


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("status", [200, 401])
def test_a_server_that_lies(user: Any, status: int) -> None:
    """If an answer contains control characters or the password, the doctor prints neither."""

    def lie(server: OverHTTP, method: str, endpoint: str, headers: Any, body: Any = None) -> Answer:
        if endpoint == "sessions/":
            return Answer(200, {}, (), [{"current": True, "ip_address": "2001:4860::1%\x1b[2J"}])
        if body:
            return Answer(status, {}, (), {"code": f"\x1b[2J{body['password']}", "access": "a"})
        return Answer(401, {}, ("refresh_token=a; Path=/; Domain=\x1b[2Jexample.com",), {"code": "token_not_valid"})

    with (
        patch.object(OverHTTP, "send", lie),
        patch.object(OverHTTP, "own_address", lambda server: "127.0.0.1"),
        patch.dict("os.environ", {twotoken_doctor.PASSWORD: PASSWORD}),
        with_settings(COOKIE_SECURE=False),
    ):
        said = told("--url", "http://localhost:9/api/auth/", "--user", user.get_username(), fails=True)
    assert "Domain=?[2jexample.com" in said
    assert "login over HTTP: The " in said
    assert "\x1b" not in said
    assert PASSWORD not in said


@pytest.mark.usefixtures("healthy")
def test_a_server_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server sends a byte now and then, the doctor stops waiting and reports a TimeoutError."""
    monkeypatch.setattr("twotoken.management.doctor.transports.TIMEOUT", 0.2)

    def drip(server: socket.socket) -> None:
        with server.accept()[0] as connection, suppress(OSError):
            connection.recv(9999)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:  # until the doctor hangs up
                connection.sendall(b" ")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        found = examine("--url", f"http://127.0.0.1:{server.getsockname()[1]}/api/auth/")[1]
        thread.join()
    assert [probe for probe, _ in faults(found)] == ["reach"]
    assert "TimeoutError" in found[-1]["text"]


def test_an_address_that_is_trusted_anyway(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If CSRF_TRUSTED_ORIGINS has the API's origin, the probe ``address`` is skipped unless the scheme is wrong."""
    for proxy, status in ((Proxy(), "skipped"), (Proxy(sends_scheme=False), "wrong")):
        with ExitStack() as stack:
            url = stack.enter_context(served(Broken("", "", proxy=proxy), certificate, monkeypatch))
            stack.enter_context(override_settings(CSRF_TRUSTED_ORIGINS=[url.removesuffix("/api/auth/")]))
            found = {each["probe"]: each["status"] for each in examine("--url", url)[1]}
        assert found["address"] == status


def test_http_that_django_takes_for_https(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the proxy sends https as the scheme of an http request, the probe ``address`` reports it."""
    with served(Broken("", "", url="http://localhost:{port}/api/auth/"), certificate, monkeypatch) as url:
        ((probe, remedy),) = faults(examine("--url", url)[1])
    assert probe == "address"
    assert "to the scheme that the client used" in remedy


@pytest.mark.usefixtures("healthy")
def test_a_user_model_that_needs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the user model requires more fields, the doctor skips the trial login and asks for ``--user``."""
    monkeypatch.setattr(get_user_model(), "REQUIRED_FIELDS", ["is_active"])
    found = examine()[1][-1]
    assert (found["probe"], found["status"], found["remedy"]) == ("login", "skipped", "Name a user with --user.")


@pytest.mark.usefixtures("healthy")
def test_before_the_first_migrate() -> None:
    """If the tables are missing, the doctor names ``migrate``, and reports no other fault."""
    with patch.object(RefreshToken._meta, "db_table", "twotoken_other"):
        fault = only_fault()
    assert fault["probe"] == "tables"
    assert "manage.py migrate" in fault["remedy"]


@pytest.mark.usefixtures("healthy")
def test_one_database_only() -> None:
    """If the project has only one database, the doctor does not run the probe ``replica``."""
    kept = {name: value for name, value in connections.settings.items() if name == "default"}
    with patch.dict(connections.settings, kept, clear=True):
        assert "replica" not in [each["probe"] for each in examine()[1]]


@pytest.mark.usefixtures("healthy")
def test_a_database_whose_clock_is_unknown() -> None:
    """If the doctor can't ask the database for its time, it skips the probe ``clock``."""
    with patch.dict("twotoken.management.doctor.stores.CLOCKS", clear=True):
        found = {each["probe"]: each["status"] for each in examine()[1]}
    assert found["clock"] == "skipped"


@pytest.mark.usefixtures("healthy")
def test_a_setting_that_breaks_a_probe() -> None:
    """If a probe raises an error, the doctor reports a fault, and the other probes still run."""
    with override_settings(ROOT_URLCONF="tests.no_such_module"):
        found = faults(examine()[1])
    assert [probe for probe, _ in found] == ["checks", "mounts"]
