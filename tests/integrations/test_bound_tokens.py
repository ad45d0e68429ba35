"""Bound tokens with client libraries for DPoP, and with the client in the docs, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory, override_settings

from tests.factories import PASSWORD
from tests.integrations import npm
from tests.integrations.pages import block, settings_of
from tests.overrides import with_settings
from tests.proofs import Device
from twotoken.exceptions import ProofAddress
from twotoken.models import RefreshToken
from twotoken.proofs import proven_key

PAGE = "../how-to/bound-tokens"
MOUNT = "/api/app/auth/"
LIBRARIES = [("dpop", "ES256"), ("dpop", "Ed25519"), ("jose", "ES256"), ("jose", "Ed25519"), ("jose", "EdDSA")]


@pytest.fixture
def run(live_server: Any, user: Any, tmp_path: Path) -> Any:
    """A function that runs ``proofs.mjs`` with one library against the server, and returns what the script prints."""
    shutil.copy(npm.NODE / "proofs.mjs", tmp_path)
    (tmp_path / "session.mjs").write_text(block(PAGE, "generateProof", "js"))
    (tmp_path / "node_modules").symlink_to(npm.installed() / "node_modules")
    credentials = {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    environment = {**os.environ, "API": live_server.url, "MOUNT": MOUNT, "CREDENTIALS": json.dumps(credentials)}

    def started(library: str, algorithm: str = "ES256") -> Any:
        command = ["node", "proofs.mjs", library, algorithm]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return started


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("library", "algorithm"), LIBRARIES)
def test_a_library(run: Any, library: str, algorithm: str) -> None:
    """With a library's proofs, login, API, refresh and retry work. Copied tokens without the key are refused."""
    assert run(library, algorithm) == {
        "type": "DPoP",
        "bound": True,
        "retried": True,
        "refused": [[401, "wrong_device"]] * 4,
        "alive": 200,
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wants_nonce", [False, True])
def test_oauth4webapi(run: Any, user: Any, wants_nonce: bool) -> None:
    """The library oauth4webapi calls the API, reads twotoken's challenges, and repeats a request with the nonce."""
    with with_settings(DPOP_NONCE=wants_nonce):
        found = run("oauth4webapi")
    assert found == {
        "status": 200,
        "id": str(user.pk),
        "wasAsked": wants_nonce,
        "refused": [["dpop", "invalid_token"]],
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wants_nonce", [False, True])
def test_the_client_that_is_shown(run: Any, wants_nonce: bool) -> None:
    """The docs' client refreshes once for two requests with an expired token. A copied refresh token is refused."""
    with with_settings(DPOP_NONCE=wants_nonce, DPOP="required"):
        assert run("page") == {"statuses": [200] * 3, "rotated": True, "stolen": "wrong_device"}
    assert RefreshToken.objects.get().generation == 1


@pytest.mark.django_db
def test_the_login_that_is_shown(user: Any) -> None:
    """The docs' login view binds the family to the key of the request's DPoP proof."""
    module = ModuleType("shown_login")
    exec(block(PAGE, "proven_key"), vars(module))  # noqa: S102 - our own docs
    device = Device()
    module.log_in_here(RequestFactory().post("/done/", HTTP_DPOP=device.proof("/done/")), user)
    assert RefreshToken.objects.get().device_key == device.device_key


def test_the_proxy_that_is_shown() -> None:
    """A proof for the public https URL is accepted with the docs' settings for a proxy, and refused without them."""
    device = Device(host="https://localhost")
    headers: dict[str, Any] = {"HTTP_HOST": "localhost", "HTTP_X_FORWARDED_PROTO": "https"}
    shown = settings_of("../how-to/proxies", "SECURE_PROXY_SSL_HEADER", REST_FRAMEWORK={**settings.REST_FRAMEWORK})
    with override_settings(**{**shown, "ALLOWED_HOSTS": ["localhost"]}):
        proven_key(RequestFactory().post("/x/", HTTP_DPOP=device.proof("/x/"), **headers))
    with pytest.raises(ProofAddress):
        proven_key(RequestFactory().post("/x/", HTTP_DPOP=device.proof("/x/"), **headers))
