"""For django-allauth's headless API: a login with allauth's app client returns twotoken's token pair.

Set ``HEADLESS_TOKEN_STRATEGY = "twotoken.contrib.allauth.TwoTokenStrategy"``. allauth authenticates the user in the
steps that the project requires; the answer to the last step contains the pair. The client sends allauth's session
token in the header ``X-Session-Token``. Each login has one session and one token family, twotoken's row for a login.
If the family is revoked or expires, the session ends. If the session is logged out, the family is revoked. The answer
to a reauthentication contains an access token with the present time as ``auth_time``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast
from uuid import UUID

from allauth.account.authentication import get_authentication_records
from allauth.account.signals import authentication_step_completed, password_changed, password_set
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import authenticated_user
from allauth.headless.base.response import APIResponse
from allauth.headless.tokens.strategies.sessions import SessionTokenStrategy
from django.apps import apps
from django.contrib.auth import SESSION_KEY, user_logged_in, user_logged_out
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.http import HttpRequest, JsonResponse
from django.views.decorators.debug import sensitive_variables
from rest_framework import status
from rest_framework.request import Request
from rest_framework.views import APIView

from twotoken import families
from twotoken.clients import Client
from twotoken.conf import conf
from twotoken.dpop import DPOP
from twotoken.exceptions import (
    InvalidIdempotencyKey,
    InvalidProof,
    MissingProof,
    RotationConflict,
    TokenNotValid,
    Unavailable,
)
from twotoken.models import RevokedReason, State
from twotoken.proofs import NONCE_HEADER, current_nonce, proven_key, read_proof, spend
from twotoken.responses import RETRY_AFTER, body_of, headers_of, status_of
from twotoken.throttling import RefreshThrottle
from twotoken.views import idempotency_key

FAMILY_SESSION_KEY: Final = "twotoken_family"
RECORDS_SESSION_KEY: Final = "twotoken_records"  # how many of allauth's records are already in tokens
# The names for the claim ``amr``. The keys are the methods of allauth's records, or the types of its authenticators.
METHODS: Final = {"password": "pwd", "code": "otp", "totp": "otp", "recovery_codes": "otp"}


class TwoTokenStrategy(SessionTokenStrategy):  # type: ignore[misc]  # allauth has no types
    """The token strategy with which a login by allauth's app client returns twotoken's tokens."""

    @sensitive_variables()
    def create_access_token_payload(self, request: HttpRequest) -> dict[str, Any]:
        """Return the tokens of a login or reauthentication, under allauth's field names.

        A second call for the same request returns the tokens of the first call.
        """
        # In a login of several steps allauth builds the answer, and asks for tokens, more than once.
        payload: dict[str, Any] | None = getattr(request, "_twotoken_payload", None)
        if payload is None:
            payload = self.step_up(request) if hasattr(request, "_twotoken_reauthenticated") else self.start(request)
            request._twotoken_payload = payload  # type: ignore[attr-defined]
        return payload

    @sensitive_variables()
    def start(self, request: HttpRequest) -> dict[str, Any]:
        """Start the token family of a login, and return the family's two tokens under allauth's field names."""
        replaced: UUID | None = getattr(request.session, "_twotoken_replaced", None)
        with proof_errors(request):
            device_key = proven_key(request)
        user = authenticated_user(request)
        amr = amr_of(new_records(request, user))
        context = {"amr": amr} if amr else {}
        pair = families.start(user, Client.from_request(request), context=context, device_key=device_key)
        request.session[FAMILY_SESSION_KEY] = str(pair.family_id)
        payload = {
            "access_token": pair.access,
            "expires_in": pair.expires_in,
            "refresh_token": pair.refresh,
            "refresh_expires_in": pair.refresh_expires_in,
        }
        if pair.token_type:
            payload["token_type"] = pair.token_type
        if replaced is not None:
            families.revoke(replaced, RevokedReason.REPLACED)
        return payload

    @sensitive_variables()
    def step_up(self, request: HttpRequest) -> dict[str, Any]:
        """Return an access token with a new ``auth_time``. allauth has just reauthenticated the session's user."""
        family = families.get(cast("UUID", family_of(request.session)))
        # Checking a password takes time. Since lookup_session, the family may have been revoked or deleted.
        if family is None or family.state() is not State.ACTIVE:
            raise gone()
        with proof_errors(request):
            check_device(request, family.device_key)
        stepped_up = families.step_up(family, amr_of(new_records(request, authenticated_user(request))))
        payload = {"access_token": stepped_up.access, "expires_in": stepped_up.expires_in}
        return {**payload, "token_type": stepped_up.token_type} if stepped_up.token_type else payload

    def lookup_session(self, session_token: str) -> SessionBase | None:
        """Return the session of a session token. None if the session's token family was revoked or has expired.

        Reading the family takes one query. Also return None if the session has a logged-in user but no family: another
        login page, for example the admin's, made this session. That page did not ask for the steps of an allauth login,
        such as a second factor.
        """
        session: SessionBase | None = super().lookup_session(session_token)
        if session is None:
            return None
        family_id = family_of(session)
        if SESSION_KEY in session if family_id is None else not families.is_active(family_id):
            return None
        # The proof is verified before allauth looks at a one-time code, because a client whose proof lacks the nonce
        # sends the same code again.
        request = cast("HttpRequest", context.request)
        with proof_errors(request):
            read_proof(request)
        # A login as another user, for example after a password reset, empties the session. Keep the id here, so that
        # create_access_token_payload can then revoke this family.
        session._twotoken_replaced = family_id  # type: ignore[attr-defined]
        return session

    @sensitive_variables()
    def refresh_token(self, refresh_token: str) -> tuple[str, str] | None:
        """Rotate the refresh token as ``refresh/`` does, for clients that only know allauth's ``tokens/refresh``.

        Return the new access token and refresh token. Return None to refuse the token: allauth then answers with a 400
        without a reason.
        """
        request = cast("HttpRequest", context.request)
        try:
            claims = families.verify(refresh_token)
            key = idempotency_key(Request(request))
            with proof_errors(request):
                proof = read_proof(request)
                spend(request, proof)
            device_key = "" if proof is None else proof.device_key
            check_throttle(RefreshThrottle(claims, device_key), request)
            pair = families.rotate(claims, Client.from_request(request), key, device_key=device_key)
        except (TokenNotValid, InvalidIdempotencyKey):
            return None
        except RotationConflict as exc:
            raise busy(request, status.HTTP_503_SERVICE_UNAVAILABLE, RETRY_AFTER) from exc
        return pair.access, pair.refresh


def new_records(request: HttpRequest, user: AbstractBaseUser) -> list[dict[str, Any]]:
    """Return the records that allauth has made of the user's authentication since the session last got tokens."""
    records: list[dict[str, Any]] = get_authentication_records(request, user)
    before = request.session.get(RECORDS_SESSION_KEY, 0)
    request.session[RECORDS_SESSION_KEY] = len(records)
    return records[before:]


def amr_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the ``amr`` claim for allauth's records: the RFC 8176 names of their methods.

    A method that RFC 8176 does not name is left out. If there are two or more names, ``mfa`` is added at the end.
    """
    found = (method_of(record) for record in records)
    methods = list(dict.fromkeys(method for method in found if method is not None))
    return [*methods, "mfa"] if len(methods) > 1 else methods


def method_of(record: Mapping[str, Any]) -> str | None:
    """Return the RFC 8176 name for the method of one record. None if RFC 8176 has no name, as for a social login."""
    kind = record.get("type", record["method"])
    if kind != "webauthn":
        return METHODS.get(kind)
    passkey = cast("Any", apps).get_model("mfa", "Authenticator").objects.filter(pk=record["id"]).first()
    if passkey is None:  # the user has removed it since
        return None
    # A passkey that may be synchronised is not tied to one device's hardware (WebAuthn level 3, section 6.1.3).
    return "swk" if passkey.wrap().authenticator_data.is_backup_eligible() else "hwk"


def check_device(request: HttpRequest, device_key: str) -> None:
    """Check that the request has a DPoP proof by ``device_key``, the key that a family is bound to.

    A family that is not bound (an empty key), or that is bound by a protocol other than DPoP, needs no proof.

    Raises InvalidProof or Unavailable.
    """
    if not device_key.startswith(DPOP):
        return
    proof = read_proof(request)
    if proof is None or proof.device_key != device_key:
        raise MissingProof
    spend(request, proof)


@contextmanager
def proof_errors(request: HttpRequest) -> Iterator[None]:
    """If the check of a DPoP proof fails, let allauth send twotoken's error, with a new nonce if DPOP_NONCE is on."""
    try:
        yield
    except (InvalidProof, Unavailable) as exc:
        body = body_of(exc)
        status_code = status_of(type(exc))
        error = {"message": body["detail"], "code": body["code"]}
        # This is not an APIResponse, because that would ask for the tokens again.
        response = JsonResponse({"status": status_code, "errors": [error]}, status=status_code, headers=headers_of(exc))
        if conf.dpop_nonce:
            response[NONCE_HEADER] = current_nonce()
        raise ImmediateHttpResponse(response) from exc


def check_throttle(throttle: RefreshThrottle, request: HttpRequest) -> None:
    """Count a refresh. Raises ImmediateHttpResponse with a 429 if there were too many refreshes."""
    if not throttle.allow_request(Request(request), APIView()):
        raise busy(request, status.HTTP_429_TOO_MANY_REQUESTS, int(throttle.wait()))


def busy(request: HttpRequest, code: int, seconds: int) -> ImmediateHttpResponse:
    """Return an exception that makes allauth answer with the status ``code`` and a Retry-After of ``seconds``.

    allauth's usual answer is a 400, which a client would understand as "log in again".
    """
    response = APIResponse(request, status=code)
    response["Retry-After"] = str(seconds)
    return ImmediateHttpResponse(response)


def gone() -> ImmediateHttpResponse:
    """Return an exception that makes allauth answer with a 410, as for a session that has ended."""
    body = {"status": status.HTTP_410_GONE, "data": {}, "meta": {"is_authenticated": False}}
    return ImmediateHttpResponse(JsonResponse(body, status=status.HTTP_410_GONE))


def family_of(session: SessionBase) -> UUID | None:
    """Return the id of an allauth session's token family. None if the session has no family."""
    family_id = session.get(FAMILY_SESSION_KEY)
    return None if family_id is None else UUID(family_id)


def headless_of(request: HttpRequest | None) -> Any:
    """Return the data that allauth attaches to a request of its app client. None for any other request."""
    return getattr(getattr(request, "allauth", None), "headless", None)


def family_of_request(request: HttpRequest | None) -> UUID | None:
    """Return the id of the token family of an app client's session. None if there is no such session or family."""
    return None if request is None or headless_of(request) is None else family_of(request.session)


@receiver(user_logged_in)
def expect_pair(request: HttpRequest | None, **kwargs: Any) -> None:
    """Make allauth answer every login with tokens, even if a password reset logs in a user who is logged in already."""
    if (headless := headless_of(request)) is not None:
        headless._pre_user = AnonymousUser()


@receiver(authentication_step_completed)
def expect_step_up(request: HttpRequest | None, reauthenticated: bool = False, **kwargs: Any) -> None:
    """Make allauth answer a reauthentication with an access token that has a new ``auth_time``."""
    if reauthenticated and (headless := headless_of(request)) is not None:
        headless._pre_user = AnonymousUser()
        request._twotoken_reauthenticated = True  # type: ignore[union-attr]


@receiver(user_logged_out)
def revoke_family(request: HttpRequest | None, **kwargs: Any) -> None:
    """Revoke the family of an allauth session that is logged out.

    When Django sends this signal, the session still has the family's id.
    """
    if (family_id := family_of_request(request)) is not None:
        families.revoke(family_id, RevokedReason.LOGOUT)


@receiver([password_changed, password_set])
def keep_family(request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> None:
    """Keep the family valid after its user has changed the password, because allauth keeps the session too."""
    if (family_id := family_of_request(request)) is not None:
        families.update_auth_hash(family_id, user)
