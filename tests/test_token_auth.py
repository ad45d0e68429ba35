"""TokenAuth for httpx and for requests, tested against a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import trio
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.permissions import IsAuthenticated

from tests.factories import PASSWORD
from tests.overrides import with_settings
from tests.server import free_port
from tests.urls import MeView
from tests.urls import urlpatterns as usual
from twotoken import families
from twotoken.contrib import httpx as for_httpx
from twotoken.contrib import requests as for_requests
from twotoken.contrib.scripts import (
    FileStore,
    LoginFailed,
    MemoryStore,
    SessionEnded,
    StepUpRequired,
    Store,
    Unavailable,
    UnexpectedAnswer,
)
from twotoken.models import RefreshToken
from twotoken.permissions import RecentLogin
from twotoken.testing import time_travel

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("no_authorities"),
]


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    """Return the body and the token of a request. The status is 401 without a good token, and always at ``?never``."""
    said = {"body": request.body.decode("latin-1"), "token": request.headers.get("Authorization")}
    is_refused = said["token"] in (None, "Bearer refused") or "never" in request.GET
    return JsonResponse(said, status=401 if is_refused else 200)


@csrf_exempt
def away(request: HttpRequest) -> HttpResponse:
    """Redirect to ``/echo/``, with ``?far`` at another host name, or to ``/api/me/`` with ``?me``."""
    port = request.get_port()
    if "me" in request.GET:
        return HttpResponseRedirect("/api/me/")
    return HttpResponseRedirect(f"http://127.0.0.1:{port}/echo/" if "far" in request.GET else "/echo/")


def sensitive(request: HttpRequest) -> HttpResponse:
    """Require a more recent login."""
    return JsonResponse({"code": "insufficient_user_authentication", "detail": "Again.", "max_age": 60}, status=401)


@csrf_exempt
def moved(request: HttpRequest, place: str) -> HttpResponse:
    """Redirect every login to another path."""
    return HttpResponseRedirect("/api/app/auth/login/")


@csrf_exempt
def teapot(request: HttpRequest, place: str) -> HttpResponse:
    """Answer a login with an error that contains the login's Authorization header."""
    return JsonResponse({"detail": repr(request.headers.get("Authorization"))}, status=HTTPStatus.IM_A_TEAPOT)


class RecentView(MeView):
    """A view that returns the user, if the login is at most five minutes old."""

    permission_classes = [IsAuthenticated & RecentLogin]


urlpatterns = [
    *usual,
    path("recent/", RecentView.as_view()),
    path("echo/", echo),
    path("away/", away),
    path("sensitive/", sensitive),
    path("moved/<path:place>", moved),
    path("teapot/<path:place>", teapot),
]

Body = str | bytes | Iterable[bytes] | None


class Parts:
    """A body that can be read only once.

    It knows its length, because Django's test server does not read a chunked body. If a connection closes with
    unread data, the answer may be lost.
    """

    def __init__(self, *parts: bytes) -> None:
        self.parts = iter(parts)
        self.length = sum(map(len, parts))

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        return self.parts


def length_of(content: Body) -> dict[str, str]:
    """Return the Content-Length header of a Parts, because httpx can't see its length."""
    return {"Content-Length": str(len(content))} if isinstance(content, Parts) else {}


class Program:
    """A program that uses the client for httpx. ``send`` returns an answer's status and JSON."""

    def __init__(self, server: str, user: Any, **options: Any) -> None:
        self.server = server
        self.store: Store = options.pop("store", None) or MemoryStore()
        if "refresh" not in options:
            options["credentials"] = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
        url = options.pop("auth_url", f"{server}/api/app/auth/")
        self.auth: Any = self.kind(url, store=self.store, **options)

    kind: type[Any] = for_httpx.TokenAuth
    header_options: Any = {"client_options": {"headers": {"User-Agent": "a program"}}}

    def send(self, route: str, method: str = "GET", content: Body = None) -> tuple[int, Any]:
        with httpx.Client(auth=self.auth, follow_redirects=True) as client:
            url = httpx.URL(self.server).join(route)
            response = client.request(method, url, content=content, headers=length_of(content))
            return response.status_code, response.json()

    def token(self) -> str:
        return str(self.auth.access_token())

    def log_out(self) -> None:
        self.auth.logout()

    def refuse(self) -> None:
        """Make the server refuse the stored access token."""
        self.store.save(replace(self.store.load(), access="refused"))

    def many(self, route: str, number: int) -> list[int]:
        """Send many requests at the same time."""
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(lambda _: self.send(route)[0], range(number)))


class AsyncProgram(Program):
    """A program that uses the client for httpx in an event loop."""

    def send(self, route: str, method: str = "GET", content: Body = None) -> tuple[int, Any]:
        return asyncio.run(self.send_async(route, method, content))

    async def send_async(self, route: str, method: str = "GET", content: Body = None) -> tuple[int, Any]:
        async with httpx.AsyncClient(auth=self.auth, follow_redirects=True) as client:
            body: Any = self.parts(content) if isinstance(content, Parts) else content
            url = httpx.URL(self.server).join(route)
            response = await client.request(method, url, content=body, headers=length_of(content))
            return response.status_code, response.json()

    async def parts(self, content: Any) -> Any:
        for part in content:
            yield part

    def token(self) -> str:
        return str(asyncio.run(self.auth.access_token_async()))

    def log_out(self) -> None:
        asyncio.run(self.auth.logout_async())

    def many(self, route: str, number: int) -> list[int]:
        async def all_at_once() -> list[int]:
            return [status for status, _ in await asyncio.gather(*[self.send_async(route) for _ in range(number)])]

        return asyncio.run(all_at_once())


class RequestsProgram(Program):
    """A program that uses the client for requests."""

    kind = for_requests.TokenAuth

    def send(self, route: str, method: str = "GET", content: Body = None) -> tuple[int, Any]:
        with requests.Session() as session:
            session.auth = self.auth
            url = str(httpx.URL(self.server).join(route))
            response = session.request(method, url, data=content, timeout=30)
            return response.status_code, response.json()

    @staticmethod
    def new_session() -> requests.Session:
        session = requests.Session()
        session.headers["User-Agent"] = "a program"
        return session

    header_options = {"new_session": new_session}


@pytest.fixture(params=[Program, AsyncProgram, RequestsProgram])
def program(request: pytest.FixtureRequest, live_server: Any, user: Any) -> Callable[..., Program]:
    """Return a function that makes a program with these options, for each kind of client."""
    kind: type[Program] = request.param
    return lambda **options: kind(live_server.url, user, **options)


def rotations() -> list[int]:
    """Return how often each family has rotated, in the order of the logins."""
    return list(RefreshToken.objects.order_by("created_at").values_list("generation", flat=True))


def test_the_first_request_logs_in(program: Callable[..., Program], user: Any) -> None:
    """The first request logs in, and the second one uses the same access token."""
    script = program()
    assert RefreshToken.objects.count() == 0
    for _ in range(2):
        status, body = script.send("/api/me/")
        assert (status, body["id"]) == (200, str(user.pk))
    assert rotations() == [0]
    assert script.send("/echo/")[1]["token"] == f"Bearer {script.token()}"


def test_a_token_that_is_refused(program: Callable[..., Program]) -> None:
    """If the server refuses a token, the token is refreshed, and the request with its body is sent again."""
    script = program()
    script.token()
    script.refuse()
    status, body = script.send("/echo/", "POST", "some text")
    assert (status, body) == (200, {"body": "some text", "token": f"Bearer {script.token()}"})
    assert rotations() == [1]


def test_a_route_that_refuses_every_token(program: Callable[..., Program]) -> None:
    """If a route refuses every token, a request is sent twice at most. The program gets the second 401."""
    script = program()
    status, body = script.send("/echo/?never")
    assert (status, body["token"]) == (401, f"Bearer {script.token()}")
    assert rotations() == [1]


def test_ten_refused_requests_at_once(program: Callable[..., Program]) -> None:
    """Ten refused requests at once cause one refresh. Ten first requests cause one login."""
    script = program()
    assert script.many("/api/me/", 10) == [200] * 10
    assert rotations() == [0]
    script.refuse()
    assert script.many("/api/me/", 10) == [200] * 10
    assert rotations() == [1]


def test_another_origin(program: Callable[..., Program]) -> None:
    """Another origin gets no token and causes no login, unless ``origins`` names it."""
    script = program()
    there = script.server.replace("localhost", "127.0.0.1")
    assert script.send(f"{there}/echo/")[1]["token"] is None
    assert rotations() == []
    script = program(origins=[there])
    assert script.send(f"{there}/echo/")[1]["token"] == f"Bearer {script.token()}"


def test_a_redirect_to_another_origin(program: Callable[..., Program]) -> None:
    """The token is not sent to another origin after a redirect, and a 401 from there causes no refresh."""
    script = program()
    assert script.send("/away/?far") == (401, {"body": "", "token": None})
    assert rotations() == [0]


def test_a_redirect_within_the_api(program: Callable[..., Program]) -> None:
    """If the request after a redirect is refused, that request is sent again, and not the first one."""
    script = program()
    script.token()
    script.refuse()
    status, body = script.send("/away/", "POST", "order")
    assert (status, body) == (200, {"body": "", "token": f"Bearer {script.token()}"})
    assert rotations() == [1]


def test_a_body_that_is_used_up(program: Callable[..., Program]) -> None:
    """If a body can't be sent twice, the program gets the 401. The token is refreshed for the next request."""
    script = program()
    script.token()
    script.refuse()
    assert script.send("/echo/", "POST", Parts(b"a", b"b"))[0] == 401
    assert script.send("/echo/", "POST", Parts(b"a", b"b"))[0] == 200
    assert rotations() == [1]


@pytest.mark.parametrize("program", [RequestsProgram], indirect=True)
def test_a_file_is_rewound(program: Callable[..., Program], tmp_path: Path) -> None:
    """With requests, a file is sent again from the position where it began."""
    script = program()
    script.token()
    script.refuse()
    (tmp_path / "upload").write_text("a line")
    with (tmp_path / "upload").open("rb") as file:
        assert script.send("/echo/", "POST", file)[1]["body"] == "a line"


def test_a_step_up(program: Callable[..., Program]) -> None:
    """If a route requires a more recent login, the error says how recent. No refresh is sent."""
    with pytest.raises(StepUpRequired, match="Again") as caught:
        program().send("/sensitive/")
    assert (caught.value.max_age, rotations()) == (60, [0])


def test_a_step_up_that_somebody_answers(program: Callable[..., Program], user: Any) -> None:
    """For a step-up the program is asked once for the password. Then the request is sent again."""
    asked: list[int | None] = []

    def ask(age: int | None) -> dict[str, str]:
        asked.append(age)
        return {"password": PASSWORD}

    script = program(on_step_up=ask)
    assert script.send("/recent/")[0] == 200
    with time_travel(timedelta(minutes=6)):
        for _ in range(2):
            status, body = script.send("/recent/")
            assert (status, body["id"]) == (200, str(user.pk))
    assert (asked, rotations()) == ([300], [0])


def test_a_bound_session(program: Callable[..., Program]) -> None:
    """With ``dpop=True`` the family is bound to a key in the store, and each request has a proof."""
    script = program(dpop=True)
    assert script.send("/api/me/")[0] == 200
    token = script.store.load().access
    assert RefreshToken.objects.get().device_key.startswith("dpop:")
    stolen = httpx.get(f"{script.server}/api/me/", headers={"Authorization": f"Bearer {token}"})
    assert (stolen.status_code, stolen.json()["reason"]) == (401, "wrong_device")
    script.refuse()
    assert script.send("/api/me/")[0] == 200
    assert script.send("/away/?me")[0] == 200
    assert rotations() == [1]


@with_settings(DPOP_NONCE=True)
def test_a_bound_session_with_nonces(program: Callable[..., Program]) -> None:
    """The server's nonces go into the next proofs, at logins and in the API."""
    script = program(dpop=True)
    assert script.send("/api/me/")[0] == 200
    script.refuse()
    assert script.send("/api/me/")[0] == 200
    assert rotations() == [1]


@with_settings(DPOP_ACCESS=False)
def test_only_the_refresh_token_is_bound(program: Callable[..., Program]) -> None:
    """With DPOP_ACCESS off, requests need no proof, but refreshes do."""
    script = program(dpop=True)
    script.token()
    assert script.store.load().scheme == "Bearer"
    script.refuse()
    assert script.send("/api/me/")[0] == 200
    assert rotations() == [1]


def test_logout(program: Callable[..., Program]) -> None:
    """A logout revokes the family. The next request logs in again."""
    script = program()
    script.token()
    script.log_out()
    assert [family.revoked_reason for family in RefreshToken.objects.all()] == ["logout"]
    assert script.send("/api/me/")[0] == 200
    assert rotations() == [0, 0]


def test_a_session_that_was_revoked(program: Callable[..., Program], user: Any) -> None:
    """If the session was revoked, a program with credentials logs in again. Otherwise the error has the reason."""
    script = program()
    script.token()
    families.revoke_all(user, "admin")
    assert script.send("/api/revocable/")[0] == 200
    assert rotations() == [0, 0]
    script = program(refresh=families.start(user).refresh)
    assert script.send("/api/revocable/")[0] == 200
    families.revoke_all(user, "admin")
    with pytest.raises(SessionEnded) as caught:
        script.send("/api/revocable/")
    assert caught.value.reason == "revoked"


def test_wrong_credentials(program: Callable[..., Program], user: Any) -> None:
    """With wrong credentials the login is refused, and the program's request is not sent."""
    user.set_password("another password")
    user.save()
    with pytest.raises(LoginFailed) as caught:
        program().send("/echo/")
    assert caught.value.code == "no_active_account"


def test_no_server(program: Callable[..., Program]) -> None:
    """If no server answers, the error says so, and has the network's error as its cause."""
    script = program(auth_url=f"http://localhost:{free_port()}/", patience=0)
    with pytest.raises(Unavailable, match="No answer came") as caught:
        script.token()
    assert isinstance(caught.value.__cause__, httpx.TransportError | requests.ConnectionError)


def test_a_server_that_stays_away(program: Callable[..., Program]) -> None:
    """If no server answers, the call retries until ``patience`` is over."""
    script = program(auth_url=f"http://localhost:{free_port()}/", patience=0.3)
    with pytest.raises(Unavailable):
        script.token()


def test_a_login_that_is_redirected(program: Callable[..., Program]) -> None:
    """If a login is redirected, the password is not sent to the new address."""
    script = program()
    script = program(auth_url=f"{script.server}/moved/")
    with pytest.raises(UnexpectedAnswer, match="use that address") as caught:
        script.token()
    assert (caught.value.status, rotations()) == (HTTPStatus.FOUND, [])


def test_options_for_logins(program: Callable[..., Program]) -> None:
    """Logins and refreshes can use certificates, proxies and headers that the program sets."""
    script = program(**program().header_options)
    script.token()
    assert RefreshToken.objects.get().user_agent == "a program"


def test_a_password_in_netrc(program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in .netrc is not sent with a login, although requests adds it to other requests."""
    (tmp_path / "netrc").write_text("default login ann password of-another-service\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    script = program()
    with pytest.raises(UnexpectedAnswer, match="418: None"):
        program(auth_url=f"{script.server}/teapot/").token()


def test_a_file_that_programs_share(program: Callable[..., Program], tmp_path: Path) -> None:
    """The second program does not log in: it uses the token that the first one refreshed."""
    first = program(store=FileStore(tmp_path / "session"))
    second = program(store=FileStore(tmp_path / "session"))
    assert first.token() == second.token()
    first.refuse()
    assert first.send("/echo/")[0] == 200
    assert first.token() == second.token()
    assert rotations() == [1]


def test_trio(live_server: Any, user: Any) -> None:
    """TokenAuth for httpx works under trio too."""
    auth = Program(live_server.url, user).auth

    async def main() -> int:
        async with httpx.AsyncClient(auth=auth) as client:
            return (await client.get(f"{live_server.url}/api/me/")).status_code

    assert trio.run(main) == 200
    assert json.loads(httpx.get(f"{live_server.url}/api/me/", auth=auth).text)["id"] == str(user.pk)
