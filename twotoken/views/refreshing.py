"""The views of the endpoints that take a refresh token: refresh and logout."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from django.contrib.auth import user_logged_out
from django.core.exceptions import RequestDataTooBig
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField

from twotoken import families, proofs, tokens
from twotoken.bearer import bearer_token, by_dpop, check_binding
from twotoken.conf import Delivery, conf
from twotoken.cookies import clear_refresh_cookie, cookie_values, token_from_cookie
from twotoken.dpop import Proof
from twotoken.exceptions import (
    ConflictingCookies,
    InvalidIdempotencyKey,
    InvalidProof,
    MissingToken,
    TokenNotValid,
    TwoTokenError,
    Unavailable,
    WrongDevice,
)
from twotoken.families import TokenPair
from twotoken.models import RefreshToken, RevokedReason
from twotoken.responses import challenge, status_of
from twotoken.serializers import RefreshSerializer
from twotoken.throttling import RefreshThrottle
from twotoken.tokens import RefreshClaims
from twotoken.views.base import CredentialView

# The IETF draft of this header requires a quoted string, but many clients send no quotes. Both forms are the same key.
IDEMPOTENCY_KEY = re.compile(r'"([!#-~]{8,255})"|([!#-~]{8,255})')


class RefreshView(CredentialView):
    """A POST with a refresh token returns the next token pair."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.delivery is Delivery.NONE:
            raise NotFound

    def post(self, request: Request, **kwargs: Any) -> Response:
        try:
            key = idempotency_key(request)
            claims = self.get_claims(request)
            proof = proofs.read_proof(request)
            device_key = self.get_device_key(claims, proof)
            # The proof is used up before the throttle counts: a thief who sends a copied proof again must not use up
            # the requests that the family may send.
            proofs.spend(request, proof)
            self.check_throttle(RefreshThrottle(claims, device_key))
            pair = self.rotate(claims, key, device_key)
        except TwoTokenError as exc:
            if status_of(type(exc)) is None:
                raise
            return self.refuse(exc)
        return self.answer(pair, already_held=pair.generation == claims.generation)

    def get_claims(self, request: Request) -> RefreshClaims:
        """Return the claims of the request's refresh token.

        With the delivery ``cookie`` the token is read only from the cookie, with ``body`` only from the body.
        """
        if self.by_cookie:
            return token_from_cookie(request)
        return self.verify(self.get_token(request))

    def get_device_key(self, claims: RefreshClaims, proof: Proof | None) -> str:
        """Return the device key of the request's proof, for ``families.rotate``. Without a proof, an empty string."""
        return "" if proof is None else proof.device_key

    def rotate(self, claims: RefreshClaims, idempotency_key: str, device_key: str) -> TokenPair:
        """Exchange the refresh token for a new pair. The throttle has counted the request before."""
        return families.rotate(claims, self.client, idempotency_key, device_key=device_key)

    def get_token(self, request: Request) -> str:
        """Return the refresh token in the body of the request."""
        return body_token(request)

    def verify(self, token: str) -> RefreshClaims:
        """Check the signature of a refresh token, and return the token's claims. Raises a TokenNotValid."""
        return families.verify(token)

    def refuse(self, error: TwoTokenError) -> Response:
        response = super().refuse(error)
        # For these errors the cookie is not cleared. After WrongDevice the family stays active, and a single tab
        # without the key must not log out all others.
        kept = MissingToken | ConflictingCookies | WrongDevice
        refused = isinstance(error, TokenNotValid) and not isinstance(error, kept)
        if self.by_cookie and refused:
            clear_refresh_cookie(response, self.request)
        return response


class LogoutView(CredentialView):
    """A POST revokes the family of the refresh token, and the family of the access token in the Authorization header.

    With the delivery ``cookie`` no token is required: a request without a token gets a 204 too, and the body is not
    read. With another delivery, a request with neither a refresh token nor a valid access token is refused, because it
    logs nobody out. An invalid refresh token is never an error.
    """

    def post(self, request: Request, **kwargs: Any) -> Response:
        refresh_tokens: list[str] = []
        problem: Exception | None = None
        try:
            refresh_tokens = self.get_tokens(request)
        except (APIException, MissingToken, RequestDataTooBig) as exc:
            problem = exc
        try:
            if self.revoke_bearer(request):
                problem = None
        except (TokenNotValid, InvalidProof, Unavailable) as exc:
            if problem is not None:  # otherwise ignore a stale header that came with a refresh token
                problem = exc
        if problem is not None:
            raise problem
        for token in refresh_tokens:
            with suppress(TokenNotValid):
                self.send_logged_out(self.revoke(token))
        response = Response(status=status.HTTP_204_NO_CONTENT)
        if self.by_cookie:
            clear_refresh_cookie(response, request)
        return response

    def get_tokens(self, request: Request) -> list[str]:
        """Return the refresh tokens in the cookies, or the refresh token in the body. The delivery says which.

        There can be several cookies with different tokens. With the delivery ``none``, raises MissingToken. If the body
        is wrong, raises an error that says why.
        """
        if self.by_cookie:
            return cookie_values(request, conf.cookie_name)
        if self.delivery is Delivery.NONE:
            raise MissingToken
        # A client that reads the token from a file may send a newline with it. That would make the token invalid, and
        # logout does not report an invalid refresh token.
        token = body_token(request).strip()
        if not token:
            raise ValidationError({"refresh": [CharField.default_error_messages["blank"]]})
        return [token]

    def revoke(self, token: str) -> RefreshToken | None:
        """Revoke the family of a refresh token. Return the family if this call revoked it. Raises a TokenNotValid."""
        return families.revoke_presented(families.verify(token))

    def revoke_bearer(self, request: Request) -> bool:
        """Revoke the family of the access token in the Authorization header; tell whether there is such a token.

        A bound access token needs a proof. Raises a TokenNotValid, InvalidProof or Unavailable.
        """
        token = bearer_token(request)
        if token is None:
            return False
        access = tokens.decode_access(token, conf.access_policy, timezone.now())
        check_binding(request, token, access)
        self.send_logged_out(families.revoke(access.family_id, RevokedReason.LOGOUT))
        return True

    def refuse(self, error: TwoTokenError) -> Response:
        response = super().refuse(error)
        if isinstance(error, InvalidProof | TokenNotValid):  # an error of the access token: answer as API routes do
            response.status_code = status.HTTP_401_UNAUTHORIZED
            response["WWW-Authenticate"] = challenge(error, by_dpop=by_dpop(self.request))
        return response

    def send_logged_out(self, family: RefreshToken | None) -> None:
        """Send Django's signal ``user_logged_out`` if a family was revoked, that is, if ``family`` is not None."""
        if family is not None:
            user = family.user
            user_logged_out.send_robust(sender=type(user), request=self.request._request, user=user)


def idempotency_key(request: Request) -> str:
    """Return the request's Idempotency-Key without its quotes, or an empty string if there is no such header.

    Raises InvalidIdempotencyKey if the header is not 8 to 255 visible ASCII characters.
    """
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return ""
    match = IDEMPOTENCY_KEY.fullmatch(header)
    if match is None:
        raise InvalidIdempotencyKey
    return match[1] or match[2]


def body_token(request: Request) -> str:
    """Return the refresh token in a request's body. If it is missing, raise a ValidationError that names the field."""
    token: Any = request.data.get("refresh") if isinstance(request.data, dict) else None
    if not isinstance(token, str):
        RefreshSerializer(data=request.data).is_valid(raise_exception=True)  # says what is wrong
    return str(token)
