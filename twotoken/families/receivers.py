"""Signal receivers: revoke the families of a user who is saved as inactive."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.db.models.signals import post_save
from django.dispatch import receiver

from twotoken.families.revocation import revoke_all
from twotoken.models import RevokedReason
from twotoken.users import is_user


@receiver(post_save, dispatch_uid="twotoken")
def revoke_families_of_inactive(
    sender: type[Model],
    instance: Model,
    *,
    created: bool,
    raw: bool,
    update_fields: Collection[str] | None,
    **kwargs: Any,
) -> None:
    """Revoke the token families of a user who was saved as inactive, so that a later activation does not revive them.

    This receiver is connected to every sender, because a proxy or subclass of the user model is a sender of its own.
    The receiver runs in the transaction of the save, if there is one. For an active user it makes no query.
    """
    if created or raw or not is_user(instance):
        return
    # If update_fields leaves out the column, only the object in memory is inactive. If is_active is not a column but a
    # property, it may depend on any field that was written.
    if update_fields is not None and "is_active" not in update_fields and _has_column(instance):
        return
    if not instance.is_active:
        revoke_all(instance, RevokedReason.USER_INACTIVE)


def _has_column(user: Model) -> bool:
    try:
        user._meta.get_field("is_active")
    except FieldDoesNotExist:
        return False
    return True
