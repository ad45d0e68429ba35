"""User models with a USERNAME_FIELD and a primary key other than those of Django's own model."""

from __future__ import annotations

import secrets
import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class UserManager(BaseUserManager[AbstractBaseUser]):
    """The manager of the user models in this module."""


class _User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"

    class Meta:
        abstract = True


class EmailUser(_User):
    """A user with a UUID as primary key, who logs in by e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    USERNAME_FIELD = "email"

    class Meta(_User.Meta):
        swappable = "AUTH_USER_MODEL"
        abstract = False


def new_key() -> str:
    """Return a primary key that is text."""
    return f"user-{secrets.token_hex(8)}"  # pragma: no cover - runs where this model is the user


class StringUser(_User):
    """A user with text as primary key."""

    key = models.CharField(primary_key=True, max_length=40, default=new_key)
    handle = models.CharField(max_length=40, unique=True)

    USERNAME_FIELD = "handle"

    class Meta(_User.Meta):
        swappable = "AUTH_USER_MODEL"
        abstract = False


class StatusUser(AbstractBaseUser):
    """A user model with ``is_active`` as a property, not as a column. It has no table."""

    handle = models.CharField(max_length=40, unique=True)
    status = models.CharField(max_length=10, default="member")

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "handle"

    class Meta:
        managed = False

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Whether the user's status is ``member``."""
        return self.status == "member"
