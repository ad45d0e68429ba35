"""Finds the user of a token that simplejwt issued."""

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
    """Return the user of a token of simplejwt, active or not, from the write database. One query.

    Raises UserInactive if there is no such user, or InvalidToken if the id is malformed or fits several users.
    """
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(model))
    try:
        # If several users have this value, such as an e-mail address, get() fails: one could log in as another.
        user: AbstractBaseUser = users.get(**{conf.user_id_field: user_id})
    except model.DoesNotExist as exc:
        raise UserInactive from exc
    except (ValueError, ValidationError, model.MultipleObjectsReturned) as exc:
        raise InvalidToken from exc
    return user


def active_user(user_id: str, password_digest: object) -> AbstractBaseUser:
    """Return the active user of a token of simplejwt. Raises UserInactive if the user is unknown or inactive.

    With CHECK_REVOKE_TOKEN, raises PasswordChanged if the user's password has changed since the token was issued.
    Raises InvalidToken if the id is malformed or fits several users.
    """
    user = find_user(user_id)
    if not user.is_active:
        raise UserInactive
    if conf.check_revoke_token and not constant_time_compare(str(password_digest), digest_of(user)):
        raise PasswordChanged
    return user


def digest_of(user: AbstractBaseUser) -> str:
    """Return the digest that simplejwt puts into its tokens to detect a changed password."""
    return hashlib.md5(user.password.encode(), usedforsecurity=False).hexdigest().upper()
