"""The doctor's probes that log in over HTTP as a user of the project, and log out again."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils import timezone

from twotoken import dpop, proofs
from twotoken.clients import stored_address
from twotoken.conf import Delivery, conf
from twotoken.exceptions import InvalidToken
from twotoken.keys import new_key
from twotoken.management.doctor.findings import Fault, Finding, ok, skipped, wrong
from twotoken.management.doctor.mounts import Mount
from twotoken.management.doctor.project import login_fault, step_fault
from twotoken.management.doctor.transports import Answer, OverHTTP
from twotoken.tokens import ACCESS_TYPE


def probe_client(transport: OverHTTP, mount: Mount, credentials: Mapping[str, str]) -> Iterator[Finding]:
    """Log in, check the access token and the client's address as Django sees it, refresh, and log out."""
    if conf.dpop == "required":
        yield skipped("client address", "TWOTOKEN['DPOP'] is 'required', and the doctor does not bind this login.")
        return
    login = transport.send("POST", "login/", {}, credentials)
    if login.status != 200:
        yield wrong("login over HTTP", login_fault(login))
        return
    session = _Session(transport, mount, login)
    try:
        yield session.secrets()
        yield session.address()
        yield session.refresh()
    finally:
        end = session.log_out()
    if end.status != 204:
        yield wrong("login over HTTP", step_fault("logout", end))


def probe_proof(transport: OverHTTP, mount: Mount, credentials: Mapping[str, str]) -> Iterator[Finding]:
    """Log in with a DPoP proof for the URL that clients use, and log out."""
    if not proofs.accepts_proofs():
        yield skipped("htu", "DPoP proofs are ignored: TWOTOKEN['DPOP'] is 'off', or cryptography is not installed.")
        return
    prover = _Prover(transport)
    answer = transport.send("POST", "login/", prover.proof("login/"), credentials)
    if answer.code == "use_dpop_nonce":
        prover.nonce = answer.headers.get("dpop-nonce")
        answer = transport.send("POST", "login/", prover.proof("login/"), credentials)
    if answer.status == 200:
        _Session(transport, mount, answer, prover).log_out()
        yield ok("htu", "A DPoP proof for this address is accepted.")
    elif answer.code == "invalid_dpop_proof":
        yield wrong(
            "htu",
            Fault(
                f"A DPoP proof for {transport.url.geturl()}login/ is refused: Django sees another address or time.",
                "No login with a bound token works.",
                "Fix what the doctor reports about the address, the path and the clocks. The logger twotoken records "
                "both addresses at INFO.",
            ),
        )
    else:
        yield wrong("htu", login_fault(answer))


class _Prover:
    """A client with a new key. It makes DPoP proofs for POST requests."""

    def __init__(self, transport: OverHTTP) -> None:
        self.address = transport.url.geturl()
        self.nonce: str | None = None
        self._key = new_key()

    def proof(self, endpoint: str, access_token: str | None = None) -> dict[str, str]:
        """Return the ``DPoP`` header with a proof for a POST request to this endpoint."""
        address, now = self.address + endpoint, timezone.now()
        proof = dpop.make_proof(
            self._key, method="POST", address=address, now=now, access_token=access_token, nonce=self.nonce
        )
        return {"DPoP": proof}


class _Session:
    def __init__(self, transport: OverHTTP, mount: Mount, login: Answer, prover: _Prover | None = None) -> None:
        self.transport, self.mount, self.latest, self._prover = transport, mount, login, prover

    def refresh(self) -> Finding:
        """Send a refresh request with every cookie of the last answer, as a browser does."""
        if self.mount.delivery is Delivery.NONE:
            return ok("login over HTTP", "Login works. The mount has no refresh tokens.")
        answer = self.transport.send("POST", "refresh/", *self._token())
        if answer.status != 200:
            return wrong("login over HTTP", step_fault("refresh", answer))
        self.latest = answer
        return ok("login over HTTP", "Login and refresh work, and the doctor has logged out again.")

    def secrets(self) -> Finding:
        """Check whether the doctor's settings contain the secret with which the server has signed the access token."""
        try:
            conf.access_keys.verify(self.latest.body["access"], ACCESS_TYPE)
        except InvalidToken:
            return wrong(
                "secrets",
                Fault(
                    "The server signs with another ACCESS_SECRET than that of this environment.",
                    "Either the doctor compares the server with the wrong settings, or your processes have different "
                    "secrets, and each of them refuses the tokens of the others.",
                    "Give every process of the project the same secrets, and run the doctor with them.",
                ),
            )
        return ok("secrets", "The server signs with the secret of this environment.")

    def address(self) -> Finding:
        """Compare the client's address, as Django has stored it, with this machine's own address."""
        bearer = {"Authorization": f"Bearer {self.latest.body['access']}"}
        body = self.transport.send("GET", "sessions/", bearer).body
        listed: list[Any] = body if isinstance(body, list) else body.get("results", [])
        seen = next((stored_address(str(each["ip_address"])) for each in listed if each.get("current")), None)
        own = self.transport.own_address()
        if not seen:
            return skipped(
                "client address",
                "Django has stored no address: TWOTOKEN['RECORD_CLIENT'] is False, or the server gives none.",
            )
        if seen == own or ipaddress.ip_address(seen).is_global:
            return ok("client address", f"Django sees the client's address, for this machine {seen}.")
        return wrong(
            "client address",
            Fault(
                f"Django takes {seen} for the client's address, but this machine has {own}: it sees the proxy.",
                "All clients count as one: a few tries at a user's name make LOGIN_THROTTLE lock that user out "
                "everywhere, and the list of sessions shows the proxy's address only.",
                "Let the proxy set X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For "
                "$proxy_add_x_forwarded_for), and set REST_FRAMEWORK['NUM_PROXIES'] to the number of your proxies.",
            ),
        )

    def log_out(self) -> Answer:
        """Log out, which revokes the family of this login."""
        if self.mount.delivery is Delivery.NONE:
            access = self.latest.body["access"]
            headers = {"Authorization": f"{self.latest.body.get('token_type', 'Bearer')} {access}"}
            proof = self._prover.proof("logout/", access) if self._prover is not None else {}
            return self.transport.send("POST", "logout/", headers | proof)
        return self.transport.send("POST", "logout/", *self._token())

    def _token(self) -> tuple[dict[str, str], dict[str, str] | None]:
        if self.mount.delivery is Delivery.BODY:
            return {}, {"refresh": self.latest.body["refresh"]}
        return {"Cookie": self.latest.cookie_header}, None
