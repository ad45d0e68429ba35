"""The views of the endpoints that take credentials: login and reauthenticate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from django.contrib.auth import authenticate, get_user_model, user_logged_in
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import check_password
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from twotoken import families, proofs
from twotoken.authentication import RevocableAccessTokenAuthentication
from twotoken.clients import client_address, sent_by_browser
from twotoken.conf import Delivery, conf
from twotoken.conflicts import retry_on_conflict
from twotoken.cookies import cookie_values, warn_if_dropped
from twotoken.exceptions import InvalidToken, MissingProof, NoActiveAccount
from twotoken.families import FROM_SETTINGS, Lifetime
from twotoken.models import RevokedReason
from twotoken.serializers import LoginSerializer, PasswordSerializer
from twotoken.throttling import LoginThrottle
from twotoken.tokens import AccessToken
from twotoken.users import may_log_in
from twotoken.views.base import CredentialView, current_family_id


class LoginView(CredentialView):
    """A POST with credentials returns a token pair. If it has a DPoP proof, the family is bound to the proof's key.

    A subclass may set another ``serializer_class``. The validated data of this serializer are the arguments of Django's
    ``authenticate``.
    """

    serializer_class: type[BaseSerializer[Any]] = LoginSerializer

    def post(self, request: Request, **kwargs: Any) -> Response:
        serializer = self.serializer_class(data=request.data, context={"request": request, "view": self})
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        # The proof is verified before the throttle counts the request, because a client without the nonce has to send
        # it again. The proof is used up after the throttle has counted, so that a client that has to wait can send the
        # same proof again.
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
        """Return the user with these credentials, or None. Only Django's authentication back ends decide.

        A back end can also lock a user out, as the back end of django-axes does.

        A subclass may raise a subclass of NoActiveAccount with a ``code`` and a ``message`` of its own.
        """
        return authenticate(request._request, **data)

    def get_login_name(self, data: Mapping[str, Any]) -> str:
        """Return the user name by which the login throttle counts the request."""
        return str(data.get(cast("Any", get_user_model()).USERNAME_FIELD, ""))

    def get_lifetime(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Lifetime:
        """Return the absolute lifetime of this login's family, for example a longer one for "remember me"."""
        return FROM_SETTINGS

    def get_context(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what to store with the family of this login, for example a tenant, or how the user logged in.

        The callable of ACCESS_CLAIMS finds this in ``family.context``, at the login and at each refresh.
        """
        return {}

    def revoke_replaced(self, request: Request) -> None:
        """Revoke the family whose refresh cookie this login replaces: no later logout by cookie can find it."""
        for token in cookie_values(request, conf.cookie_name):
            with suppress(InvalidToken):
                families.revoke_presented(families.verify(token), RevokedReason.REPLACED)


class ReauthenticateView(CredentialView):
    """A POST with the password and an access token returns an access token with the present time as ``auth_time``.

    The view writes nothing, except if Django has renewed the stored hash of the password.

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
        # Here too the proof is verified first: a client without the nonce has to send the request again, and must not
        # use up a guess or a one-time code.
        proofs.read_proof(request)
        # These requests count together with logins: a thief with an access token gets no additional guesses.
        self.check_throttle(LoginThrottle(client_address(request), self.get_login_name(data)))
        old_hash = cast("AbstractBaseUser", request.user).password
        user = self.authenticate(request, data)
        if user is None or user.pk != request.user.pk or not may_log_in(user):
            return self.refuse(NoActiveAccount())
        # After an update of Django, authenticate() stores a newer hash of the same password. The password itself has
        # not changed.
        if user.password != old_hash and check_password(data.get("password"), old_hash):
            families.update_auth_hash(current_family_id(request), user)
        # Django's user_logged_in is not sent: its receivers would record a login that did not happen.
        family = families.family_of(cast("AccessToken", request.auth))  # again: it may have been revoked meanwhile
        self.check_device(family.device_key)
        stepped_up = families.step_up(family, self.get_amr(user, data))
        body = {"access": stepped_up.access, "expires_in": stepped_up.expires_in}
        return Response({**body, "token_type": stepped_up.token_type} if stepped_up.token_type else body)

    def authenticate(self, request: Request, data: Mapping[str, Any]) -> AbstractBaseUser | None:
        """Return the user with these credentials, or None. The view refuses all users but the access token's own.

        A subclass may raise a subclass of NoActiveAccount with a ``code`` and a ``message`` of its own.
        """
        name = cast("Any", get_user_model()).USERNAME_FIELD
        return authenticate(request._request, **{name: request.user.get_username(), **data})

    def get_login_name(self, data: Mapping[str, Any]) -> str:
        """Return the user name by which the login throttle counts the request: the name of the access token's user."""
        return self.request.user.get_username()

    def get_amr(self, user: AbstractBaseUser, data: Mapping[str, Any]) -> Sequence[str]:
        """Return how the user has proven their identity now, for the claim ``amr`` (RFC 8176)."""
        return ["pwd"]
