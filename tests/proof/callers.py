"""Hooks for Schemathesis. Each call gets an active token, and some calls get data that lead to a success."""

from __future__ import annotations

import base64
import itertools
import json
import os
import urllib.request
from datetime import UTC, datetime
from typing import Any

import schemathesis

from tests.jar import COMPANION, COOKIE, COOKIE_MOUNT, family_of
from tests.proofs import EC_KEY, pem
from twotoken.dpop import make_proof

BODY_MOUNT = "/api/app/auth/"
KEY = pem(EC_KEY)

turns = itertools.count()


def credentials() -> dict[str, str]:
    """Return the name and password of the service's user."""
    return {"username": os.environ["API_USER"], "password": os.environ["API_PASSWORD"]}


def log_in() -> dict[str, str]:
    """Log in at the body mount, and return the answer with the new tokens."""
    url = os.environ["API_URL"] + BODY_MOUNT + "login/"
    request = urllib.request.Request(url, json.dumps(credentials()).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        pair: dict[str, str] = json.load(response)
    return pair


@schemathesis.auth(refresh_interval=None)
class LiveToken:
    """Logs in anew for each call, because a call may revoke its token."""

    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> dict[str, str]:
        """Log in, and return the new tokens."""
        return log_in()

    def set(self, case: schemathesis.Case[Any], pair: dict[str, str], context: schemathesis.AuthContext) -> None:
        """Put the token that the operation needs into the request: the refresh cookie or the access token."""
        if case.path in (COOKIE_MOUNT + "refresh/", COOKIE_MOUNT + "logout/"):
            case.cookies[COOKIE] = pair["refresh"]
            case.cookies[COMPANION] = family_of(pair["refresh"])
        else:
            case.headers["Authorization"] = f"Bearer {pair['access']}"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Put a right password, token or id into every second valid call, because no generator guesses one."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if "DPoP" in case.headers:  # any text is valid by the description, and only a proof is accepted
        address = os.environ["API_URL"] + case.formatted_path
        case.headers["DPoP"] = make_proof(KEY, method=case.method, address=address, now=datetime.now(UTC))
    if next(turns) % 2:
        return
    if case.path.endswith("/login/"):
        case.body = {**credentials()}
    elif case.path.endswith("/reauthenticate/"):
        case.body = {"password": credentials()["password"]}
    elif case.path == BODY_MOUNT + "refresh/":
        case.body = {"refresh": log_in()["refresh"]}
    elif case.path.endswith("/{family_id}/"):
        payload = log_in()["access"].split(".")[1]
        case.path_parameters["family_id"] = json.loads(base64.urlsafe_b64decode(payload + "=="))["sid"]
