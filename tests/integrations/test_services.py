"""The services in the docs' page on services accept only access tokens of the login project."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import jwt
import pytest
import requests
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from django.test import override_settings

from tests.factories import PASSWORD, UserFactory
from tests.integrations import npm
from tests.integrations.pages import block
from tests.server import free_port
from tests.test_keys import PRIVATE, by_hand, pem, public_pem

PAGE = "../how-to/services"
ISSUER, AUDIENCE = "https://auth.example.com", "https://api.example.com"
KEY, OTHER_KEY = PRIVATE["ES256"]
ROOT = Path(__file__).parents[2]
NOBODY = f"http://127.0.0.1:{free_port()}"
NAMES = ["jose", "express", "fastapi", "django", "django-pem", "simplejwt"]
REVOKING = ["jose-revoking", "fastapi-revoking", "django-revoking"]
# The status with which a service refuses a token if it can't get the public keys, as the docs say.
WITHOUT_KEYS = {"jose": 503, "express": 401, "fastapi": 503, "django": 503, "simplejwt": 401}


def replaced(text: str, old: str, new: str) -> str:
    """Replace the only occurrence of ``old`` in a text."""
    assert text.count(old) == 1
    return text.replace(old, new)


class Service:
    """A service of the docs in its own process. It accepts tokens of one issuer."""

    def __init__(self, name: str, folder: Path, issuer: str, revocations: str | None = None) -> None:
        self.revocations = revocations or issuer
        self.port, self.issuer, self.folder = free_port(), issuer, folder
        self.environment = {"PORT": str(self.port), "PYTHONPATH": f"{folder}:{ROOT}", "SECRET_KEY": "of the service"}
        command = getattr(self, f"write_{name.replace('-', '_')}")()
        self.log = (folder / "log").open("w+")
        environment = {**os.environ, **self.environment}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while self.get("/nothing") is None:
            assert self.process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the service did not answer"
            time.sleep(0.05)

    def get(self, path: str = "/", token: str | None = None, scheme: str = "Bearer") -> Any:
        """GET from the service, and return status and body. None if no answer comes."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Host": "api.example.com", "Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"{scheme} {token}"
        try:
            client.request("GET", path, headers=headers)
            response = client.getresponse()
            return response.status, response.read()
        except OSError:
            return None
        finally:
            client.close()

    def stop(self) -> None:
        """Stop the service, and wait until its process has ended."""
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def write(self, path: str, *parts: str) -> None:
        """Write a file of the service, with this service's issuer in place of the issuer in the docs."""
        (self.folder / path).parent.mkdir(exist_ok=True)
        text = "\n".join(parts).replace(f"{ISSUER}/api/revocations/", f"{self.revocations}/api/revocations/")
        (self.folder / path).write_text(text.replace(ISSUER, self.issuer))

    def node(self, containing: str) -> list[str]:
        """Write a JavaScript block of the docs to a file beside its npm packages, and return the command to run it."""
        self.write("service.mjs", block(PAGE, containing, "js"))
        (self.folder / "node_modules").symlink_to(npm.installed() / "node_modules")
        return ["node", "service.mjs"]

    def write_jose(self) -> list[str]:
        return self.node("createRemoteJWKSet")

    def write_express(self) -> list[str]:
        return self.node("issuerBaseURL")

    def write_fastapi(self) -> list[str]:
        self.write("service.py", block(PAGE, "FastAPI()"))
        return [sys.executable, "-m", "uvicorn", "service:app", "--port", str(self.port)]

    def write_django(self, *more: str) -> list[str]:
        self.write("service/__init__.py")
        self.write("service/settings.py", block(PAGE, "UNAUTHENTICATED_USER"), *more)
        self.write("service/urls.py", block(PAGE, "request.user.username"))
        self.environment["DJANGO_SETTINGS_MODULE"] = "service.settings"
        application = "django.core.wsgi:get_wsgi_application()"
        return [sys.executable, "-m", "gunicorn", application, "--bind", f"127.0.0.1:{self.port}", "--threads", "4"]

    def write_django_pem(self) -> list[str]:
        (self.folder / "access.pub.pem").write_text(public_pem(KEY))
        settings = block(PAGE, "/run/secrets/access.pub.pem")
        return self.write_django(settings.replace("/run/secrets/access.pub.pem", str(self.folder / "access.pub.pem")))

    def write_jose_revoking(self) -> list[str]:
        command = self.write_jose()
        self.write("revocations.mjs", block(PAGE, "isRevoked(sid)", "js"))
        call = block(PAGE, "await isRevoked(payload.sid)", "js")
        start = 'import { isRevoked } from "./revocations.mjs";\n'
        text = (self.folder / "service.mjs").read_text()
        self.write("service.mjs", start + replaced(text, "  return payload;\n", f"{call}  return payload;\n"))
        return command

    def write_fastapi_revoking(self) -> list[str]:
        command = self.write_fastapi()
        self.write("revocations.py", block(PAGE, "def is_revoked"))
        route = '@app.get("/")\ndef me(claims: Annotated[dict, Depends({})])'
        dependency = block(PAGE, "def unrevoked_claims")
        text = replaced(
            (self.folder / "service.py").read_text(),
            route.format("claims_of"),
            f"{dependency}\n\n{route.format('unrevoked_claims')}",
        )
        self.write("service.py", text)
        return command

    def write_django_revoking(self) -> list[str]:
        return self.write_django(block(PAGE, "REVOCATIONS_URL"))

    def write_simplejwt(self) -> list[str]:
        apps = 'INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]'
        command = self.write_django(apps, block(PAGE, "AUTH_TOKEN_CLASSES"))
        self.write("service/tokens.py", block(PAGE, "class RemoteAccessToken"))
        return command


@pytest.fixture
def login(live_server: Any, tmp_path: Path) -> Iterator[str]:
    """The address of a server with the login project that the docs show."""
    (tmp_path / "access.pem").write_text(pem(KEY))
    claims: Any = ModuleType("shown_claims")
    urls: Any = ModuleType("shown_urls")
    settings: dict[str, Any] = {}
    shown = block(PAGE, "CLIENT_ID").replace("/run/secrets/access.pem", str(tmp_path / "access.pem"))
    shown = shown.replace(ISSUER, live_server.url).replace("accounts.claims", claims.__name__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JWT_REFRESH_SECRET", "refresh secret of the services, of thirty-two bytes or more")
        for module, code in ((claims, block(PAGE, "def access_claims")), (urls, block(PAGE, "DiscoveryView"))):
            patch.setitem(sys.modules, module.__name__, module)
            exec(code, vars(module))  # noqa: S102 - our own docs
        more: dict[str, Any] = {}
        exec(block(PAGE, "RevocationsView"), more)  # noqa: S102
        urls.urlpatterns += more["urlpatterns"]
        exec(shown, settings)  # noqa: S102
        with override_settings(TWOTOKEN=settings["TWOTOKEN"], ROOT_URLCONF=urls.__name__):
            yield live_server.url


def log_in(login: str) -> tuple[str, str]:
    """Log in a new user, and return the access token and the user's primary key."""
    user: Any = UserFactory()
    body = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    answer = requests.post(f"{login}/api/auth/login/", json=body, timeout=30)
    assert answer.status_code == 200
    return answer.json()["access"], str(user.pk)


@pytest.fixture
def access(login: str) -> tuple[str, str]:
    """An access token, and the primary key of its user."""
    return log_in(login)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Service]]:
    """A function that starts each service once per issuer. All services stop after the module's tests."""
    running: dict[tuple[str, str], Service] = {}

    def started(name: str, issuer: str) -> Service:
        if (name, issuer) not in running:
            running[name, issuer] = Service(name, tmp_path_factory.mktemp(name), issuer)
        return running[name, issuer]

    yield started
    for service in running.values():
        service.stop()


def forged(good: str) -> dict[str, str]:
    """Return changed and forged copies of a valid token, by name. A service must refuse all of them."""
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    header = jwt.get_unverified_header(good)

    def signed(change: dict[str, Any], typ: str = "at+jwt", key: Any = KEY, kid: str = header["kid"]) -> str:
        return jwt.encode({**claims, **change}, key, "ES256", {"typ": typ, "kid": kid})

    # Without a change, ``signed`` gives the claims of the good token, so a service refuses a copy for its change only.
    assert jwt.decode(signed({}), options={"verify_signature": False}) == claims
    payload = json.dumps(claims).encode()
    return {
        "expired": signed({"exp": int(time.time()) - 1000}),
        "another issuer": signed({"iss": "https://other.example.com"}),
        "another audience": signed({"aud": "https://other.example.com"}),
        "bound": signed({"cnf": {"jkt": "thumbprint"}}),
        "another type": signed({}, typ="JWT"),
        "another key": signed({}, key=OTHER_KEY),
        "an unknown key": signed({}, key=OTHER_KEY, kid=str(uuid4())),
        "the public key as a secret": by_hand({**header, "alg": "HS256"}, payload, public_pem(KEY).encode()),
        "no signature": by_hand({**header, "alg": "none"}, payload, b"").rpartition(".")[0] + ".",
        "nonsense": "nonsense",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_service(name: str, login: str, access: tuple[str, str], start: Callable[[str, str], Service]) -> None:
    """A service accepts a user's access token. A missing, changed or forged token gets a 401."""
    service = start(name, login)
    token, subject = access
    status, body = service.get(token=token)
    assert status == 200, body
    assert json.loads(body)["id"] == subject
    statuses = {case: service.get(token=wrong)[0] for case, wrong in forged(token).items()}
    statuses["no token"] = service.get()[0]
    assert statuses == dict.fromkeys(statuses, 401)
    assert service.get(token=token, scheme="Token")[0] in {400, 401}  # RFC 6750 section 3.1: either may be meant
    assert service.get(token=token)[0] == 200


@pytest.mark.parametrize(("name", "status"), WITHOUT_KEYS.items())
def test_a_service_without_keys(
    name: str, status: int, access: tuple[str, str], start: Callable[[str, str], Service]
) -> None:
    """A service that can't get the public keys refuses a valid token, with the status in the docs."""
    assert start(name, NOBODY).get(token=access[0])[0] == status


@pytest.mark.parametrize("name", REVOKING)
def test_revocation_in_seconds(
    name: str, login: str, access: tuple[str, str], start: Callable[[str, str], Service]
) -> None:
    """A service refuses an access token at most five seconds after its family's logout, and still accepts others."""
    service, (token, subject) = start(name, login), access
    other = log_in(login)[0]
    for each in (token, other):
        assert service.get(token=each)[0] == 200
    assert json.loads(service.get(token=token)[1])["id"] == subject
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(f"{login}/api/auth/logout/", headers=headers, timeout=30).status_code == 204
    revoked_at = time.monotonic()
    asked_at, status = revoked_at, 200
    while status == 200:
        time.sleep(0.1)
        asked_at = time.monotonic()
        status = service.get(token=token)[0]
    assert status == 401
    assert asked_at - revoked_at <= 5
    assert service.get(token=other)[0] == 200


@pytest.mark.parametrize("name", REVOKING)
def test_a_service_without_a_list(name: str, login: str, access: tuple[str, str], tmp_path: Path) -> None:
    """A service that can't read the list of revoked families answers a valid token with a 503."""
    folder = tmp_path / "service"
    folder.mkdir()
    service = Service(name, folder, login, revocations=NOBODY)
    try:
        assert service.get(token=access[0])[0] == 503
    finally:
        service.stop()


@pytest.mark.filterwarnings("ignore:Please `KeySet.import_key_set`")
def test_authlib(login: str, access: tuple[str, str]) -> None:
    """Authlib's validator for RFC 9068 accepts an access token of twotoken, and refuses one with another ``typ``."""

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # it has no types
        def get_jwks(self) -> Any:
            document = requests.get(f"{login}/.well-known/oauth-authorization-server", timeout=30).json()
            return requests.get(document["jwks_uri"], timeout=30).json()

    validator = Validator(issuer=login, resource_server=AUDIENCE)
    claims = validator.authenticate_token(access[0])
    validator.validate_token(claims, [], None)
    assert claims["sub"] == access[1]
    with pytest.raises(Exception, match="invalid_token"):
        validator.validate_token(validator.authenticate_token(forged(access[0])["another type"]), [], None)
