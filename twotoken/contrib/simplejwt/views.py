"""Views for simplejwt's URLs, with simplejwt's names, and a view that moves browsers to twotoken's refresh cookie.

At simplejwt's URLs tokens travel in bodies (JSON or forms), not in cookies. A 401 has twotoken's ``code`` and
``reason``. The project's EXCEPTION_HANDLER shapes the errors, as with simplejwt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connections
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from twotoken import families, tokens
from twotoken.conf import Delivery, conf
from twotoken.contrib.simplejwt import exchange
from twotoken.contrib.simplejwt.authentication import AccessTokenAuthentication
from twotoken.contrib.simplejwt.users import active_user
from twotoken.cookies import cookie_values, hide_cookie
from twotoken.exceptions import (
    ConflictingCookies,
    InvalidToken,
    RevokedToken,
    TokenNotValid,
    TwoTokenError,
    WrongDevice,
)
from twotoken.families import TokenPair
from twotoken.models import RefreshToken, RevokedReason
from twotoken.serializers import RefreshSerializer, TokenField
from twotoken.tokens import RefreshClaims
from twotoken.views import LoginView, LogoutView, RefreshView, TokenView


class ShapedErrors(TokenView):
    """Passes every error to the project's EXCEPTION_HANDLER, as simplejwt's views do.

    twotoken's own views ignore it, because their clients rely on the form of twotoken's errors.
    """

    def get_exception_handler(self) -> Callable[..., Response | None]:
        handler: Callable[..., Response | None] = self.settings.EXCEPTION_HANDLER
        return handler

    def refuse(self, error: TwoTokenError) -> Response:
        return self.shape(super().refuse(error))

    def shape(self, response: Response) -> Response:
        """Let the project's exception handler shape a refusal. As with simplejwt, the handler gets a DRF exception."""
        handler = self.get_exception_handler()
        if handler is exception_handler:
            return response
        unauthorized = response.status_code == status.HTTP_401_UNAUTHORIZED
        exc = (AuthenticationFailed if unauthorized else APIException)(response.data, response.data["code"])
        exc.status_code = response.status_code
        # DRF's own handler turns these attributes into headers.
        wait = int(response.get("Retry-After", "0"))
        exc.__dict__.update({"auth_header": response.get("WWW-Authenticate"), "wait": wait})
        with keeping_transactions():
            shaped = handler(exc, self.get_exception_handler_context())
        return response if shaped is None else shaped


@contextmanager
def keeping_transactions() -> Iterator[None]:
    """Cancel the rollback that DRF's exception handler requests: it would undo the revocation after a reuse."""
    marked = [(each, each.get_rollback()) for each in connections.all(initialized_only=True) if each.in_atomic_block]
    yield
    for connection, needs_rollback in marked:
        connection.set_rollback(needs_rollback)


class TokenObtainPairView(ShapedErrors, LoginView):
    """``api/token/``: POST the credentials, get ``{"access", "refresh"}``."""

    delivery = Delivery.BODY


class TokenRefreshView(ShapedErrors, RefreshView):
    """``api/token/refresh/``: POST a refresh token of simplejwt or twotoken, get ``{"access", "refresh"}``."""

    delivery = Delivery.BODY

    def get_token(self, request: Request) -> str:
        return super().get_token(request).strip()  # as simplejwt does

    def verify(self, token: str) -> RefreshClaims:
        try:
            return super().verify(token)
        except InvalidToken:
            return exchange.claims_of(token, self.client)


class TokenBlacklistView(ShapedErrors, LogoutView):
    """``api/token/blacklist/``: POST a refresh token of simplejwt or twotoken to log out, get ``{}``.

    As with simplejwt, a missing token is a 400. The Authorization header is not read, because a service may use its own
    access token to blacklist the tokens of users.
    """

    delivery = Delivery.BODY

    def post(self, request: Request, **kwargs: Any) -> Response:
        super().post(request, **kwargs)
        return Response({})

    def revoke(self, token: str) -> RefreshToken | None:
        try:
            return super().revoke(token)
        except InvalidToken:
            return exchange.revoke(token, self.client)

    def revoke_bearer(self, request: Request) -> bool:
        return False


class TokenVerifySerializer(serializers.Serializer[Any]):
    """Reads the field ``token``, a token of any kind."""

    token = TokenField(write_only=True)


class TokenVerifyView(ShapedErrors):
    """``api/token/verify/``: POST any token, get ``{}`` or a 401. The view neither rotates nor revokes a token."""

    delivery = Delivery.BODY
    serializer_class: type[serializers.BaseSerializer[Any]] = TokenVerifySerializer

    def post(self, request: Request, **kwargs: Any) -> Response:
        serializer = self.serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            self.verify(serializer.validated_data["token"].strip())  # as simplejwt does
        except TokenNotValid as exc:
            return self.refuse(exc)
        return Response({})

    def verify(self, token: str) -> None:
        """Check an access or refresh token of simplejwt or twotoken. Raises a TokenNotValid to refuse the token."""
        for kind in (self.verify_access, self.verify_refresh, self.verify_old_refresh):
            with suppress(InvalidToken):
                kind(token)
                return
        raise InvalidToken

    def verify_access(self, token: str) -> None:
        """Check an access token of simplejwt or twotoken, and its user."""
        authentication = AccessTokenAuthentication()
        access = authentication.verify(token)
        if access.is_bound:  # the service that asks could then accept the token without a proof
            raise WrongDevice
        authentication.get_user(access)

    def verify_refresh(self, token: str) -> None:
        """Check a refresh token of twotoken: it must be the newest token of an active family of an active user."""
        claims = families.verify(token)
        family = exchange.find(claims.family_id)
        if family is None or not tokens.token_id_fits(claims, bytes(family.secret)):
            raise InvalidToken
        if claims.generation < family.generation:
            raise RevokedToken
        families.user_of(claims)  # raises if the family or its user is not active

    def verify_old_refresh(self, token: str) -> None:
        """Check a refresh token of simplejwt: it must not have been exchanged, and its user must be active."""
        old = exchange.verify(token)
        if exchange.find(old.family_id) is not None:
            raise RevokedToken
        exchange.check_unused(old)
        active_user(old.user_id, old.password_digest)


class ExchangeView(ShapedErrors, RefreshView):
    """POST a refresh token of simplejwt, get a token pair by the view's delivery. Each token of simplejwt works once.

    A refresh token of twotoken is refused. With the cookie delivery the exchange sets the refresh cookie, as a login
    does. So the view has the cross-origin protection of the login: otherwise a page of another origin could send its
    own token, and log the browser in as somebody else.

    ``old_cookie`` names a cookie that has simplejwt's token, such as the HttpOnly cookie of dj-rest-auth. With the
    cookie delivery the view reads this cookie if the body is empty, and the answer clears the cookie.
    """

    old_cookie: str | None = None
    old_cookie_path = "/"
    old_cookie_domain: str | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.old_cookie is not None:
            hide_cookie(request, self.old_cookie)
        super().initial(request, *args, **kwargs)

    def get_claims(self, request: Request) -> RefreshClaims:
        return exchange.claims_of(self.get_token(request), self.client)

    def get_token(self, request: Request) -> str:
        name = self.old_cookie if self.by_cookie else None
        if name is not None and not request.data and (values := cookie_values(request, name)):
            if len(values) > 1:
                raise ConflictingCookies
            return values[0]
        serializer = RefreshSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        token: str = serializer.validated_data["refresh"]
        return token

    def answer(self, pair: TokenPair, *, already_held: bool = False) -> Response:
        if self.by_cookie:
            self.revoke_replaced(pair)
        return self.clear_old_cookie(super().answer(pair, already_held=already_held))

    def revoke_replaced(self, pair: TokenPair) -> None:
        """Revoke the family of the refresh cookie that the answer replaces. Never revoke the family of ``pair``."""
        for token in cookie_values(self.request, conf.cookie_name):
            with suppress(InvalidToken):
                claims = families.verify(token)
                if claims.family_id != pair.family_id:
                    families.revoke_presented(claims, RevokedReason.REPLACED)

    def refuse(self, error: TwoTokenError) -> Response:
        # The refused token did not come from the refresh cookie, so that cookie is not cleared.
        response = self.shape(super(RefreshView, self).refuse(error))
        refused = isinstance(error, TokenNotValid) and not isinstance(error, ConflictingCookies)
        return self.clear_old_cookie(response) if refused else response

    def clear_old_cookie(self, response: Response) -> Response:
        """Clear the cookie that ``old_cookie`` names, because its token can't be used any more."""
        if self.by_cookie and self.old_cookie is not None:
            response.delete_cookie(self.old_cookie, self.old_cookie_path, self.old_cookie_domain)
        return response
