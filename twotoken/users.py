"""Find the user of an access token, and decide who may log in."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeGuard

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import router
from django.db.models import Expression
from django.db.models.base import ModelState
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from rest_framework.exceptions import AuthenticationFailed

from twotoken.conf import conf
from twotoken.exceptions import InvalidToken, TokenNotValid, UserInactive
from twotoken.responses import body_of
from twotoken.statements import CompiledSelect, has_fixed_rows
from twotoken.tokens import AccessToken


def is_user(thing: object) -> TypeGuard[AbstractBaseUser]:
    """Tell whether an object is a user. If AUTH_USER_MODEL is a proxy model, users of its concrete model count too."""
    model: Any = get_user_model()._meta.concrete_model
    return isinstance(thing, model)


def may_log_in(user: AbstractBaseUser) -> bool:
    """Tell whether an authenticated user may log in: the user still exists, is active, and has the same password.

    If the user was read from a replica, this function reloads the user from the write database. Otherwise a lagging
    replica would let in somebody who was deactivated a moment ago, or who knows an old password. Without a replica
    there is no query.
    """
    alias = router.db_for_write(user.__class__, instance=user)
    # ``_state.db`` alone does not show that the user was read from a replica: it names the write database after any
    # save, for example of a better hash.
    if not {user._state.db, router.db_for_read(user.__class__)} <= {None, alias}:
        proven = user.get_session_auth_hash()
        try:
            user.refresh_from_db(using=alias)
        except ObjectDoesNotExist:
            return False
        if not constant_time_compare(proven, user.get_session_auth_hash()):
            return False
    return user.is_active


def load_user(access: AccessToken) -> AbstractBaseUser:
    """Return the active user of an access token, from the write database: a replica may lag.

    Raises UserInactive if the user is inactive or was deleted, and InvalidToken if the claim ``sub`` can't be a value
    of the field USER_ID_FIELD.
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
def user_lookup(model: type[AbstractBaseUser], field: str) -> CompiledSelect[AbstractBaseUser]:
    """Return the compiled SELECT that finds a user of ``model`` by ``field``."""
    return CompiledSelect(model, field)


class ClaimsUser(SimpleLazyObject):  # type: ignore[type-arg]  # not generic at run time
    """A user made from an access token's claims. Using anything but its primary key loads the real user.

    Loading raises AuthenticationFailed, a 401, if the real user has been deleted or is inactive.
    """

    is_authenticated = True
    is_anonymous = False

    def __init__(self, access: AccessToken) -> None:
        def load() -> AbstractBaseUser:
            try:
                return load_user(access)
            except TokenNotValid as exc:
                raise AuthenticationFailed(body_of(exc)) from exc

        super().__init__(load)
        key = get_user_model()._meta.pk
        if conf.user_id_field in {"pk", key.name, key.attname}:
            try:
                claimed = key.to_python(access["sub"])
            except ValidationError as exc:
                raise InvalidToken from exc
            self.__dict__.update({"pk": claimed, key.attname: claimed})
            # Related fields and their lookups read these too.
            self.__dict__.update({"_state": ModelState(), "_is_pk_set": lambda meta=None: True})

    # The real user's class, so that ``isinstance`` and related fields accept this object without a query.
    @property  # type: ignore[misc]
    def __class__(self) -> type[AbstractBaseUser]:  # type: ignore[override]
        return get_user_model()

    @property
    def _meta(self) -> Any:
        return get_user_model()._meta

    def __getattr__(self, name: str) -> Any:
        # To see whether a value is an expression, Django's queries look for attributes such as resolve_expression on
        # it. Refuse those that the user model lacks, so that the user is not loaded for them.
        if hasattr(Expression, name) and not hasattr(get_user_model(), name):
            raise AttributeError(name)
        return super().__getattr__(name)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return is_user(other) and self.pk == other.pk

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.pk)
