"""DRF authentication classes for access tokens (RFC 6750): header to claims to user.

Must not reach ``rest_framework.views``, which reads DEFAULT_AUTHENTICATION_CLASSES when it is imported.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Expression
from django.db.models.base import ModelState
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from twotoken import families, tokens
from twotoken.conf import conf
from twotoken.exceptions import InvalidToken, MissingToken, TokenNotValid, UserInactive
from twotoken.statements import Lookup, has_fixed_rows
from twotoken.tokens import AccessToken

REALM = 'Bearer realm="api"'


def challenge(error: TokenNotValid | None = None) -> str:
    """Return a ``WWW-Authenticate`` value (RFC 6750 section 3): just the realm where no credentials were given."""
    if error is None or isinstance(error, MissingToken):
        return REALM
    return f'{REALM}, error="invalid_token", error_description="{error.message}"'


def refusal(error: TokenNotValid) -> dict[str, str]:
    """Return the body of a 401 for a refused token."""
    return {"detail": gettext(error.message), "code": error.code, "reason": error.reason}


@sensitive_variables()
def bearer_token(request: HttpRequest | Request) -> str | None:
    """Return the token of a Bearer Authorization header (RFC 6750 section 2.1), None where there is none.

    Raises InvalidToken for a Bearer header that is not one word.
    """
    words: list[str] = request.META.get("HTTP_AUTHORIZATION", "").split()
    if not words or words[0].lower() != "bearer":
        return None
    if len(words) != 2:
        raise InvalidToken
    return words[1]


class AccessTokenAuthentication(BaseAuthentication):
    """The user of an access token, who must exist and be active. One query.

    To change whom a token stands for, override ``get_user``; where a token comes from and what makes it valid,
    ``get_token`` and ``verify``.
    """

    @sensitive_variables()
    def authenticate(self, request: Request) -> tuple[Any, AccessToken] | None:
        try:
            token = self.get_token(request)
            if token is None:
                return None
            access = self.verify(token)
            return self.get_user(access), access
        except TokenNotValid as exc:
            # DRF asks another instance for the header, so the request has to carry the error.
            request._bearer_error = exc  # type: ignore[attr-defined]
            raise AuthenticationFailed(refusal(exc)) from exc

    def authenticate_header(self, request: Request) -> str:
        return challenge(getattr(request, "_bearer_error", None))

    def get_token(self, request: Request) -> str | None:
        """Return the token that the request carries, or None; raise a TokenNotValid to refuse the request."""
        return bearer_token(request)

    def verify(self, token: str) -> AccessToken:
        """Return the claims of a token; raise a TokenNotValid to refuse it."""
        return tokens.decode_access(token, conf.access_policy, timezone.now())

    def get_user(self, access: AccessToken) -> Any:
        """Return the user of verified claims; raise a TokenNotValid to refuse it."""
        return load_user(access)


class RevocableAccessTokenAuthentication(AccessTokenAuthentication):
    """The user with the token family: logout, revocation and a changed password count at once. One query."""

    def get_user(self, access: AccessToken) -> Any:
        return families.user_of(access)


class StatelessAccessTokenAuthentication(AccessTokenAuthentication):
    """A user made of the claims. No query, until more than its key is asked for."""

    def get_user(self, access: AccessToken) -> Any:
        return ClaimsUser(access)


def load_user(access: AccessToken) -> AbstractBaseUser:
    """Return the active user of an access token, from the database that is written to: a replica may not know it yet.

    Raises UserInactive, or InvalidToken for a subject that is no key of the user model.
    """
    model, field = get_user_model(), conf.user_id_field
    manager = model._default_manager
    try:
        if has_fixed_rows(manager):
            user = user_lookup(model, field).get(access["sub"])
        else:
            user = manager.using(router.db_for_write(model)).filter(**{field: access["sub"]}).first()
    except (ValueError, ValidationError) as exc:
        raise InvalidToken from exc
    if user is None or not user.is_active:
        raise UserInactive
    return user


@cache
def user_lookup(model: type[AbstractBaseUser], field: str) -> Lookup[AbstractBaseUser]:
    """Return the statement that finds a user."""
    return Lookup(model, field)


class ClaimsUser(SimpleLazyObject):  # type: ignore[type-arg]  # not generic when it runs
    """A user known by its claims; touching anything but its key loads the real one.

    A real one who is gone or inactive by then is refused with AuthenticationFailed, a 401.
    """

    is_authenticated = True
    is_anonymous = False

    def __init__(self, access: AccessToken) -> None:
        def load() -> AbstractBaseUser:
            try:
                return load_user(access)
            except TokenNotValid as exc:
                raise AuthenticationFailed(refusal(exc)) from exc

        super().__init__(load)
        key = get_user_model()._meta.pk
        if conf.user_id_field in {"pk", key.name, key.attname}:
            try:
                claimed = key.to_python(access["sub"])
            except ValidationError as exc:
                raise InvalidToken from exc
            self.__dict__.update({"pk": claimed, key.attname: claimed})
            # What related fields and their lookups read of an instance besides.
            self.__dict__.update({"_state": ModelState(), "_is_pk_set": lambda meta=None: True})

    # As of the real user, so that ``isinstance`` and related fields take it, without a query.
    @property  # type: ignore[misc]
    def __class__(self) -> type[AbstractBaseUser]:  # type: ignore[override]
        return get_user_model()

    @property
    def _meta(self) -> Any:
        return get_user_model()._meta

    def __getattr__(self, name: str) -> Any:
        # A query asks every value whether it is an expression. A user is none, and need not be loaded to say so.
        if hasattr(Expression, name) and not hasattr(get_user_model(), name):
            raise AttributeError(name)
        return super().__getattr__(name)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, get_user_model()) and self.pk == other.pk

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.pk)
