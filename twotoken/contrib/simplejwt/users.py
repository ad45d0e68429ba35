"""Whose an old token is."""

from __future__ import annotations

import hashlib

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import router
from django.utils.crypto import constant_time_compare

from twotoken.contrib.simplejwt.conf import conf
from twotoken.exceptions import InvalidToken, PasswordChanged, UserInactive


def find_user(user_id: str) -> AbstractBaseUser:
    """Return the user of an old token, active or not, from where users are written. One query.

    Raises UserInactive where there is none, or InvalidToken for an id that is none of the user model.
    """
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(model))
    try:
        user: AbstractBaseUser | None = users.filter(**{conf.user_id_field: user_id}).first()
    except (ValueError, ValidationError) as exc:
        raise InvalidToken from exc
    if user is None:
        raise UserInactive
    return user


def active_user(user_id: str, password_digest: object) -> AbstractBaseUser:
    """Return the user if it may still use the token.

    Raises UserInactive, or PasswordChanged where simplejwt's CHECK_REVOKE_TOKEN was on, besides.
    """
    user = find_user(user_id)
    if not user.is_active:
        raise UserInactive
    if conf.check_revoke_token and not constant_time_compare(str(password_digest), digest_of(user)):
        raise PasswordChanged
    return user


def digest_of(user: AbstractBaseUser) -> str:
    """Return what simplejwt puts into its tokens to tell whether the password was changed."""
    return hashlib.md5(user.password.encode(), usedforsecurity=False).hexdigest().upper()
