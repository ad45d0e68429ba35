"""The endpoints: each reads a request, calls one verb of ``families``, and answers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urljoin
from uuid import UUID

from django.contrib.auth import authenticate, get_user_model, user_logged_in, user_logged_out
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import check_password
from django.core.exceptions import ImproperlyConfigured, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.pagination import CursorPagination, LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, CharField, IntegerField
from rest_framework.settings import api_settings

from twotoken import families, proofs, tokens
from twotoken.authentication import RevocableAccessTokenAuthentication
from twotoken.base_views import CredentialView, TokenView
from twotoken.bearer import bearer_token, by_dpop, check_binding
from twotoken.clients import client_address, sent_by_browser
from twotoken.conf import Delivery, conf
from twotoken.conflicts import retry_on_conflict
from twotoken.cookies import clear_refresh_cookie, cookie_values, token_from_cookie, warn_if_dropped
from twotoken.dpop import Proof
from twotoken.exceptions import (
    ConflictingCookies,
    InvalidIdempotencyKey,
    InvalidProof,
    InvalidToken,
    MissingProof,
    MissingToken,
    NoActiveAccount,
    TokenNotValid,
    TwoTokenError,
    Unavailable,
    WrongDevice,
)
from twotoken.families import FROM_SETTINGS, Lifetime, TokenPair
from twotoken.models import RefreshToken, RevokedReason
from twotoken.permissions import RecentLoginForSessions
from twotoken.responses import challenge, status_of
from twotoken.serializers import LoginSerializer, PasswordSerializer, RefreshSerializer, SessionSerializer
from twotoken.throttling import LoginThrottle, RefreshThrottle
from twotoken.tokens import CURSOR, AccessToken, RefreshClaims
from twotoken.users import may_log_in

MAX_PAGE_SIZE = 1000  # sessions
REVOCATIONS_MAX_AGE = 1  # seconds for which a cache may keep the revocations. A service learns of one so much later
CURSOR_STEP = 10  # seconds. Services that ask in the same ten seconds next ask for the same URL, which a cache may know
JWKS_MAX_AGE = 300  # seconds for which a service may keep the keys that it fetched

# The IETF draft requires a quoted string, but bare keys are common. Quoted and bare are the same key.
IDEMPOTENCY_KEY = re.compile(r'"([!#-~]{8,255})"|([!#-~]{8,255})')


class LoginView(CredentialView):
    """POST the credentials, get a token pair. A DPoP proof binds the token family to the client's key.

    A subclass may have another ``serializer_class``. Its validated data are the arguments of ``authenticate``.
    """

    serializer_class: type[BaseSerializer[Any]] = LoginSerializer

    def post(self, request: Request, **kwargs: Any) -> Response:
        serializer = self.serializer_class(data=request.data, context={"request": request, "view": self})
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        # Read before the throttle counts: a client that lacks a nonce comes again. Spent after it: a client that has
        # to wait has not used up its proof.
        proof = proofs.read_proof(request)
        if proof is None and conf.dpop == "required":
            raise MissingProof
        self.check_throttle(LoginThrottle(client_address(request), self.get_login_name(data)))
        proofs.spend(request, proof)
        user = self.authenticate(request, data)
        if user is None or not may_log_in(user):
            return self.refuse(NoActiveAccount())
        # Django's receiver writes last_login, which may conflict with another login. The signal is then sent again.
        retry_on_conflict(lambda: user_logged_in.send(sender=type(user), request=request._request, user=user))
        pair = families.start(
            user,
            self.client,
            lifetime=conf.access_lifetime if self.delivery is Delivery.NONE else self.get_lifetime(user, data),
            is_browser=self.by_cookie and sent_by_browser(request),
            context=self.get_context(user, data),
            device_key="" if proof is None else proof.device_key,
        )
        if self.by_cookie:
            self.revoke_replaced(request)
            warn_if_dropped(request)
        return self.answer(pair)

    def authenticate(self, request: Request, data: Mapping[str, Any]) -> AbstractBaseUser | None:
        """Return the user with these credentials, or None. Only Django's back ends decide: they apply lockouts.

        A subclass may raise a subclass of NoActiveAccount with a ``code`` and a ``message`` of its own.
        """
        return authenticate(request._request, **data)

    def get_login_name(self, data: Mapping[str, Any]) -> str:
        """Return the name that the login throttle counts by."""
        return str(data.get(cast("Any", get_user_model()).USERNAME_FIELD, ""))

    def get_lifetime(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Lifetime:
        """Return the absolute lifetime of this login's family, for example a longer one for "remember me"."""
        return FROM_SETTINGS

    def get_context(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what ACCESS_CLAIMS finds in ``family.context`` at each refresh.

        For example a tenant, or how the user logged in.
        """
        return {}

    def revoke_replaced(self, request: Request) -> None:
        """Revoke the family of the cookie that the new one overwrites: this browser could not log it out later."""
        for token in cookie_values(request, conf.cookie_name):
            with suppress(InvalidToken):
                families.revoke_presented(families.verify(token), RevokedReason.REPLACED)


class ReauthenticateView(CredentialView):
    """POST the password and an access token, get an access token whose ``auth_time`` is now. Nothing is written.

    A subclass may ask for another proof, such as a second factor: it overrides ``serializer_class``, ``authenticate``
    and ``get_amr``.
    """

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated]
    serializer_class: type[BaseSerializer[Any]] = PasswordSerializer

    def post(self, request: Request, **kwargs: Any) -> Response:
        serializer = self.serializer_class(data=request.data, context={"request": request, "view": self})
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        # Here too, a client that lacks a nonce comes again: it must not use up a guess or a code that is good once.
        proofs.read_proof(request)
        # The key is the login's: whoever stole an access token has no more guesses than anybody else.
        self.check_throttle(LoginThrottle(client_address(request), self.get_login_name(data)))
        old_hash = cast("AbstractBaseUser", request.user).password
        user = self.authenticate(request, data)
        if user is None or user.pk != request.user.pk or not may_log_in(user):
            return self.refuse(NoActiveAccount())
        # After an update of Django, authenticate() stores a newer hash of the same password. Nobody changed it.
        if user.password != old_hash and check_password(data.get("password"), old_hash):
            families.update_auth_hash(current_family_id(request), user)
        # Django's user_logged_in is not sent: its receivers would record a login that did not happen.
        family = families.family_of(cast("AccessToken", request.auth))  # checking a password takes time
        self.check_device(family.device_key)
        stepped_up = families.step_up(family, self.get_amr(user, data))
        body = {"access": stepped_up.access, "expires_in": stepped_up.expires_in}
        return Response({**body, "token_type": stepped_up.token_type} if stepped_up.token_type else body)

    def authenticate(self, request: Request, data: Mapping[str, Any]) -> AbstractBaseUser | None:
        """Return the user that these data prove, or None. Another user than the access token's is refused.

        A subclass may raise a subclass of NoActiveAccount with a ``code`` and a ``message`` of its own.
        """
        name = cast("Any", get_user_model()).USERNAME_FIELD
        return authenticate(request._request, **{name: request.user.get_username(), **data})

    def get_login_name(self, data: Mapping[str, Any]) -> str:
        """Return the name that the login throttle counts by: the one that the user logs in with."""
        return self.request.user.get_username()

    def get_amr(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Sequence[str]:
        """Return the methods of this proof for the ``amr`` claim (RFC 8176): those of the login don't count here."""
        return ["pwd"]


class RefreshView(CredentialView):
    """POST the refresh token, get the next token pair."""

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
            # Spent first: whoever sends a proof again must not use up its owner's share.
            proofs.spend(request, proof)
            self.check_throttle(RefreshThrottle(claims, device_key))
            pair = self.rotate(claims, key, device_key)
        except TwoTokenError as exc:
            if status_of(type(exc)) is None:
                raise
            return self.refuse(exc)
        return self.answer(pair, already_held=pair.generation == claims.generation)

    def get_claims(self, request: Request) -> RefreshClaims:
        """Return the claims of the request's refresh token, read only from the cookie or only from the body.

        The mount's delivery decides which.
        """
        if self.by_cookie:
            return token_from_cookie(request)
        return self.verify(self.get_token(request))

    def get_device_key(self, claims: RefreshClaims, proof: Proof | None) -> str:
        """Return the key that the request proves to hold, as ``families.rotate`` takes it. Empty without a proof."""
        return "" if proof is None else proof.device_key

    def rotate(self, claims: RefreshClaims, idempotency_key: str, device_key: str) -> TokenPair:
        """Exchange the refresh token, after the throttle has counted the request."""
        return families.rotate(claims, self.client, idempotency_key, device_key=device_key)

    def get_token(self, request: Request) -> str:
        """Return the refresh token of the body."""
        return body_token(request)

    def verify(self, token: str) -> RefreshClaims:
        """Check the signature and return the claims. Raises a TokenNotValid."""
        return families.verify(token)

    def refuse(self, error: TwoTokenError) -> Response:
        response = super().refuse(error)
        # Not WrongDevice: the family stays active, and a single tab without the key must not log out all others.
        kept = MissingToken | ConflictingCookies | WrongDevice
        refused = isinstance(error, TokenNotValid) and not isinstance(error, kept)
        if self.by_cookie and refused:
            clear_refresh_cookie(response, self.request)
        return response


class LogoutView(CredentialView):
    """POST to revoke the family of the refresh token, and that of the access token in the Authorization header.

    At a cookie mount the answer is always a 204, and the body is not read. Elsewhere a request without a usable token
    is refused, because it logs nobody out.
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
        """Return the refresh tokens of the cookies or of the body, as the mount's delivery says.

        There can be several cookies with different tokens.

        Raises MissingToken, or an error that says what is wrong with the body.
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
        """Revoke the family of a refresh token and return it, if this call revoked it. Raises a TokenNotValid."""
        return families.revoke_presented(families.verify(token))

    def revoke_bearer(self, request: Request) -> bool:
        """Revoke the family of the access token in the Authorization header; tell whether there is one.

        A bound access token needs its proof. Raises a TokenNotValid, InvalidProof or Unavailable.
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
        if isinstance(error, InvalidProof | TokenNotValid):  # of the access token: answer as an API route does
            response.status_code = status.HTTP_401_UNAUTHORIZED
            response["WWW-Authenticate"] = challenge(error, by_dpop=by_dpop(self.request))
        return response

    def send_logged_out(self, family: RefreshToken | None) -> None:
        """Send Django's signal if a family was revoked."""
        if family is not None:
            user = family.user
            user_logged_out.send_robust(sender=type(user), request=self.request._request, user=user)


class LogoutAllView(TokenView):
    """POST to revoke every token family of the access token's user."""

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated, RecentLoginForSessions]

    def post(self, request: Request, **kwargs: Any) -> Response:
        families.revoke_all(request.user, RevokedReason.LOGOUT)
        user_logged_out.send_robust(sender=type(request.user), request=request._request, user=request.user)
        response = Response(status=status.HTTP_204_NO_CONTENT)
        if self.by_cookie:
            clear_refresh_cookie(response, request)
        return response


class SessionsView(TokenView):
    """GET the user's active token families, with the project's pagination. DELETE to revoke all but the current one."""

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated, RecentLoginForSessions]
    serializer_class: type[BaseSerializer[Any]] = SessionSerializer

    def get(self, request: Request, **kwargs: Any) -> Response:
        sessions = families.active(cast("AbstractBaseUser", request.user))
        # Read on each request, so that override_settings works.
        pagination_class: Any = api_settings.DEFAULT_PAGINATION_CLASS
        paginator = pagination_class() if pagination_class is not None else None
        # Limit the page size: a request may ask for a number so large that no database accepts it.
        if isinstance(paginator, LimitOffsetPagination):
            paginator.max_limit = min(paginator.max_limit or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        if isinstance(paginator, CursorPagination):
            paginator.ordering = "-created_at"
            paginator.max_page_size = min(paginator.max_page_size or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        try:
            page = None if paginator is None else paginator.paginate_queryset(sessions, request, view=self)
        except (
            ValueError,
            OverflowError,
            DjangoValidationError,
            DataError,
        ) as exc:  # such as a wrong cursor
            raise NotFound from exc
        context = {"request": request, "view": self, "current": current_family_id(request)}
        data = self.serializer_class(sessions if page is None else page, many=True, context=context).data
        return Response(data) if paginator is None or page is None else paginator.get_paginated_response(data)

    def delete(self, request: Request, **kwargs: Any) -> Response:
        families.revoke_all(request.user, RevokedReason.LOGOUT, keep=current_family_id(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionView(TokenView):
    """DELETE to revoke one of the user's own token families. It may be revoked or expired already."""

    authentication_classes = [RevocableAccessTokenAuthentication]
    permission_classes = [IsAuthenticated, RecentLoginForSessions]

    def delete(self, request: Request, family_id: str, **kwargs: Any) -> Response:
        try:
            key = UUID(family_id)
        except ValueError as exc:
            raise NotFound from exc
        if not families.revoke_own(cast("AbstractBaseUser", request.user), key):
            raise NotFound
        response = Response(status=status.HTTP_204_NO_CONTENT)
        if key == current_family_id(request):
            user_logged_out.send_robust(sender=type(request.user), request=request._request, user=request.user)
            if self.by_cookie:
                clear_refresh_cookie(response, request)
        return response


def current_family_id(request: Request) -> UUID:
    """Return the id of the token family that the request's access token belongs to."""
    return cast("AccessToken", request.auth).family_id


def idempotency_key(request: Request) -> str:
    """Return the request's Idempotency-Key without its quotes, or an empty string.

    Raises InvalidIdempotencyKey.
    """
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return ""
    match = IDEMPOTENCY_KEY.fullmatch(header)
    if match is None:
        raise InvalidIdempotencyKey
    return match[1] or match[2]


def body_token(request: Request) -> str:
    """Return the refresh token in a body. Raises DRF's ValidationError, with a list per field, if there is none."""
    token: Any = request.data.get("refresh") if isinstance(request.data, dict) else None
    if not isinstance(token, str):
        RefreshSerializer(data=request.data).is_valid(raise_exception=True)  # says what is wrong
    return str(token)


class WellKnownView(TokenView):
    """Base of what other services read without a token. They may keep the answer for JWKS_MAX_AGE."""

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == status.HTTP_200_OK:
            response["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE}"
        return response


class JWKSView(WellKnownView):
    """GET the public keys of access tokens as a JWK Set (RFC 7517 section 5), for services that verify tokens.

    Not part of ``twotoken.urls``: mount it once, at ``.well-known/jwks.json``.
    """

    def get(self, request: Request, **kwargs: Any) -> Response:
        return Response({"keys": conf.access_keys.public()})


class DiscoveryView(WellKnownView):
    """GET the issuer and the address of its keys (RFC 8414), for services that find the keys by the issuer.

    Not part of ``twotoken.urls``: mount it at ``.well-known/oauth-authorization-server``, beside JWKSView, whose URL
    has the name ``jwks``.
    """

    jwks_url_name = "jwks"

    def get(self, request: Request, **kwargs: Any) -> Response:
        issuer = conf.issuer
        if issuer is None:
            raise ImproperlyConfigured("DiscoveryView needs TWOTOKEN['ISSUER'].")
        # Not from the Host header: a cache may keep the answer, and the address decides whose keys are trusted.
        return Response({"issuer": issuer, "jwks_uri": urljoin(issuer, reverse(self.jwks_url_name))})


class RevocationsView(TokenView):
    """GET the digests of the families revoked within the life of an access token, for services that verify tokens.

    ``revoked`` has the digests, see ``tokens.family_digest``. ``lifetime`` says for how many seconds a service needs to
    keep them. ``since`` is a cursor: with ``?since=`` and this value, the next answer has only what was revoked since,
    and again a minute before.

    Not part of ``twotoken.urls``: mount it once. By default anyone may read it. A digest can't be turned back into an
    id, and an id opens nothing, so a reader learns only how many families were revoked. To restrict it, give
    ``as_view`` the ``authentication_classes`` and ``permission_classes`` of your services.
    """

    def get(self, request: Request, **kwargs: Any) -> HttpResponse:
        now = timezone.now()
        seconds = int(now.timestamp())
        since = cursor(request)
        digests = families.revoked_digests(now, None if since is None else timedelta(seconds=seconds - since))
        body = {
            "revoked": digests,
            "since": str(seconds - seconds % CURSOR_STEP),
            "lifetime": math.ceil(families.longest_access().total_seconds()),
        }
        # Weak, and not of the cursor: until another family is revoked, the old cursor is as good as the new one.
        etag = f'W/"{hashlib.sha256("".join(digests).encode()).hexdigest()}"'
        response = Response(body, headers={"ETag": etag})
        found = get_conditional_response(request._request, etag=etag, response=response)
        return cast("HttpResponse", found)  # never None if it was given a response

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code in {status.HTTP_200_OK, status.HTTP_304_NOT_MODIFIED}:
            # Not "public": a shared cache must not give an answer that needed credentials to anybody else.
            response["Cache-Control"] = f"max-age={REVOCATIONS_MAX_AGE}"
        return response


def cursor(request: Request) -> int | None:
    """Return the seconds in ``?since=``, or None. Raises DRF's ValidationError if it is no cursor of an answer."""
    text = request.query_params.get("since")
    if text is None:
        return None
    if CURSOR.fullmatch(text) is None:
        raise ValidationError({"since": [IntegerField.default_error_messages["invalid"]]})
    return int(text)
