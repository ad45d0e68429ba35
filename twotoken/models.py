"""The models of a token family and of an event in its timeline. The package ``families`` has the rules."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.db import models, router
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from twotoken.clients import USER_AGENT_LENGTH
from twotoken.conf import conf
from twotoken.dpop import protocol
from twotoken.tokens import SHORTEST_LIFE

SECRET_BYTES = 16
ACTOR_LENGTH = 150  # characters. An actor is a name for people to read
NOTHING = "SELECT 1"  # a statement that changes nothing


def new_secret() -> bytes:
    """Return random bytes for a family's ``secret``, from which the ``jti`` of its refresh tokens is computed."""
    return secrets.token_bytes(SECRET_BYTES)


class RevokedReason(models.TextChoices):
    """Why a token family was revoked. A project may add its own reasons."""

    LOGOUT = "logout", pgettext_lazy("family", "logged out")
    ADMIN = "admin", pgettext_lazy("family", "revoked by staff")
    REUSE = "reuse", pgettext_lazy("family", "refresh token reused")
    PASSWORD_CHANGED = "password_changed", pgettext_lazy("family", "password changed")
    USER_INACTIVE = "user_inactive", pgettext_lazy("family", "user inactive")
    LIMIT = "limit", pgettext_lazy("family", "too many logins")
    REPLACED = "replaced", pgettext_lazy("family", "replaced by a new login")


class State(models.TextChoices):
    """The state of a token family at a given time. The user of an active family may be inactive."""

    ACTIVE = "active", pgettext_lazy("family", "active")
    REVOKED = "revoked", pgettext_lazy("family", "revoked")
    EXPIRED = "expired", pgettext_lazy("family", "expired")


def inactive_before(moment: datetime) -> Q:
    """Return the condition that a family was revoked or had expired before a time."""
    return Q(revoked_at__lt=moment) | Q(expires_at__lt=moment) | Q(refreshed_at__lt=moment - conf.refresh_lifetime)


class RefreshTokenQuerySet(models.QuerySet["RefreshToken"]):
    """Finds token families by their state, and revokes them."""

    def primary(self) -> RefreshTokenQuerySet:
        """Use the write database: a replica may lag."""
        return self.using(router.db_for_write(self.model))

    def active(self, now: datetime | None = None) -> RefreshTokenQuerySet:
        """Families that are neither revoked nor expired. Their users may be inactive.

        If a family's absolute lifetime has less than SHORTEST_LIFE left, the family has expired too: it could get no
        access token any more.
        """
        now = now or timezone.now()
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gte=now + SHORTEST_LIFE),
            revoked_at=None,
            refreshed_at__gt=now - conf.refresh_lifetime,
        )

    def expired(self, now: datetime | None = None) -> RefreshTokenQuerySet:
        """Families that are past their absolute or idle lifetime and were not revoked."""
        now = now or timezone.now()
        return self.filter(
            Q(expires_at__lt=now + SHORTEST_LIFE) | Q(refreshed_at__lte=now - conf.refresh_lifetime),
            revoked_at=None,
        )

    def inactive_before(self, moment: datetime) -> RefreshTokenQuerySet:
        """Families that were revoked or had expired before a time."""
        return self.filter(inactive_before(moment))

    def revocable(self, now: datetime | None = None) -> RefreshTokenQuerySet:
        """Families that can be revoked: those that are neither revoked nor past their absolute lifetime.

        Families that are past their idle lifetime can be revoked too, because a longer REFRESH_LIFETIME, set later,
        would make them active again.
        """
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now or timezone.now()), revoked_at=None)

    def bound(self, prefix: str = "") -> RefreshTokenQuerySet:
        """Families that are bound to a device.

        With a ``prefix``, one of ``dpop.PREFIXES``, only families that the protocol with this prefix has bound.
        """
        families = self.exclude(device_key="")
        return families.filter(device_key__startswith=prefix) if prefix else families

    def revoke(self, reason: str, now: datetime | None = None) -> int:
        """Revoke the families that are not revoked yet, in one UPDATE, and return how many. Sends no signal."""
        return self.filter(revoked_at=None).update(revoked_at=now or timezone.now(), revoked_reason=reason)


if TYPE_CHECKING:

    class RefreshTokenManager(models.Manager["RefreshToken"]):
        """The manager that ``from_queryset`` makes, spelled out for type checkers."""

        def primary(self) -> RefreshTokenQuerySet: ...
        def active(self, now: datetime | None = None) -> RefreshTokenQuerySet: ...
        def expired(self, now: datetime | None = None) -> RefreshTokenQuerySet: ...
        def inactive_before(self, moment: datetime) -> RefreshTokenQuerySet: ...
        def revocable(self, now: datetime | None = None) -> RefreshTokenQuerySet: ...
        def bound(self, prefix: str = "") -> RefreshTokenQuerySet: ...
        def revoke(self, reason: str, now: datetime | None = None) -> int: ...


class PartialIndex(models.Index):
    """An index of rows whose last indexed column is not null. MariaDB, without partial indexes, indexes all rows."""

    def create_sql(self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        is_set = Q(**{f"{self.fields[-1]}__isnull": False})
        condition = is_set if schema_editor.connection.features.supports_partial_indexes else None
        index = models.Index(fields=self.fields, name=self.name, condition=condition)
        return index.create_sql(model, schema_editor, using, **kwargs)


class OptionalIndex(models.Index):
    """An index of the rows that meet a condition. MariaDB has no partial indexes, so the index is not created there."""

    where: ClassVar[Q]

    def create_sql(self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if not schema_editor.connection.features.supports_partial_indexes:
            return NOTHING
        index = models.Index(fields=self.fields, name=self.name, condition=self.where)
        return index.create_sql(model, schema_editor, using, **kwargs)

    def remove_sql(self, model: type[models.Model], schema_editor: Any, **kwargs: Any) -> Any:
        exists = schema_editor.connection.features.supports_partial_indexes
        return super().remove_sql(model, schema_editor, **kwargs) if exists else NOTHING


class BoundIndex(OptionalIndex):
    """An index of the families that are bound to a device."""

    where = ~Q(device_key="")


class UnrevokedIndex(OptionalIndex):
    """An index of the families that are not revoked."""

    where = Q(revoked_at=None)


class RefreshToken(models.Model):
    """One token family: a login on one device, with the one refresh token that is valid now.

    A rotation changes the row in place and writes no indexed column, so that PostgreSQL can make a heap-only update.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="token_families",
        verbose_name=pgettext_lazy("family", "user"),
    )
    user_id: Any  # its type depends on the project's user model
    secret = models.BinaryField(
        pgettext_lazy("family", "secret"), max_length=SECRET_BYTES, default=new_secret, editable=False
    )
    generation = models.PositiveIntegerField(pgettext_lazy("family", "rotations"), default=0)
    retry_key = models.BinaryField(_("digest of the last key"), max_length=32, default=b"", editable=False)
    is_browser = models.BooleanField(pgettext_lazy("family", "started by a browser"), default=False)
    device_key = models.TextField(pgettext_lazy("family", "key of the device"), default="", blank=True, editable=False)
    context = models.JSONField(
        pgettext_lazy("family", "context of the login"), default=dict, blank=True, editable=False
    )
    auth_hash = models.CharField(_("session auth hash"), max_length=128, default="", blank=True, editable=False)
    created_at = models.DateTimeField(pgettext_lazy("family", "started"), default=timezone.now, db_index=True)
    refreshed_at = models.DateTimeField(pgettext_lazy("family", "last refreshed"), default=timezone.now)
    expires_at = models.DateTimeField(pgettext_lazy("family", "expires"), null=True, blank=True, default=None)
    # The purge finds expired families by this column. An index on a column that each rotation writes, such as
    # refreshed_at, would make every rotation more expensive. So a rotation leaves this time unchanged, and the purge
    # moves it when it finds that the family has been refreshed since.
    earliest_end = models.DateTimeField(
        pgettext_lazy("family", "does not expire before"), default=timezone.now, editable=False, db_index=True
    )
    revoked_at = models.DateTimeField(pgettext_lazy("family", "revoked"), null=True, blank=True, default=None)
    revoked_reason = models.CharField(pgettext_lazy("family", "reason"), max_length=32, default="", blank=True)
    login_ip_address = models.GenericIPAddressField(
        pgettext_lazy("family", "address at login"), null=True, blank=True, default=None, db_index=True
    )
    ip_address = models.GenericIPAddressField(pgettext_lazy("family", "address"), null=True, blank=True, default=None)
    user_agent = models.CharField(
        pgettext_lazy("family", "user agent"), max_length=USER_AGENT_LENGTH, default="", blank=True
    )

    objects: ClassVar[RefreshTokenManager] = models.Manager.from_queryset(RefreshTokenQuerySet)()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("token family")
        verbose_name_plural = _("token families")
        # Nobody adds, changes or deletes a family by hand.
        default_permissions = ("view",)
        permissions = (("revoke_refreshtoken", "Can revoke token families"),)
        indexes = (
            PartialIndex(fields=["revoked_at"], name="twotoken_revoked"),
            PartialIndex(fields=["revoked_reason", "revoked_at"], name="twotoken_reason"),
            BoundIndex(fields=["created_at"], name="twotoken_bound"),
            UnrevokedIndex(fields=["created_at"], name="twotoken_unrevoked"),
        )

    def __str__(self) -> str:
        return str(self.pk)

    @cached_property
    def current_auth_hash(self) -> str:
        """The ``auth_hash`` for the user's present password and SECRET_KEY."""
        return self.user.get_session_auth_hash()

    def idle_end(self, refreshed_at: datetime | None = None) -> datetime:
        """Return when the family expires if it is not refreshed after ``refreshed_at``, by default its last refresh."""
        end = (refreshed_at or self.refreshed_at) + conf.refresh_lifetime
        return end if self.expires_at is None else min(end, self.expires_at)

    @property
    def bound_by(self) -> str:
        """The protocol that binds the family to its device, "DPoP" or "DBSC", or an empty string."""
        return protocol(self.device_key)

    def state(self, now: datetime | None = None) -> State:
        """Return the state of the family now, or at another time."""
        if self.revoked_at is not None:
            return State.REVOKED
        now = now or timezone.now()
        is_over = self.expires_at is not None and self.expires_at < now + SHORTEST_LIFE
        return State.EXPIRED if is_over or self.idle_end() <= now else State.ACTIVE


class EventKind(models.TextChoices):
    """The kinds of events that are stored for a family's timeline. Its start and expiry are not stored as events."""

    DEVICE = "device", pgettext_lazy("family", "device changed")
    RETRIED = "retried", pgettext_lazy("family", "retried from another device or address")
    REUSE = "reuse", pgettext_lazy("family", "refresh token reused")
    REVOKED = "revoked", pgettext_lazy("family", "revoked")
    WRONG_DEVICE = "wrong_device", pgettext_lazy("family", "refused on another device")
    UNBOUND = "unbound", pgettext_lazy("family", "unbound from its device")


class FamilyEvent(models.Model):
    """One event of a token family's timeline.

    The foreign key has no constraint in the database. So a new event does not lock the family's row, and when a purge
    deletes families, the database does not look for the events of each family.
    """

    family = models.ForeignKey(
        RefreshToken, models.CASCADE, related_name="events", db_constraint=False, verbose_name=_("token family")
    )
    kind = models.CharField(pgettext_lazy("family", "event"), max_length=16, choices=EventKind)
    created_at = models.DateTimeField(pgettext_lazy("family", "time"), default=timezone.now)
    ip_address = models.GenericIPAddressField(
        pgettext_lazy("family", "address"), null=True, blank=True, default=None, db_index=True
    )
    user_agent = models.CharField(
        pgettext_lazy("family", "user agent"), max_length=USER_AGENT_LENGTH, default="", blank=True
    )
    previous_user_agent = models.CharField(
        pgettext_lazy("family", "user agent before"), max_length=USER_AGENT_LENGTH, default="", blank=True
    )
    generations_behind = models.PositiveIntegerField(
        pgettext_lazy("family", "generations behind"), null=True, blank=True, default=None
    )
    actor = models.CharField(pgettext_lazy("family", "by"), max_length=ACTOR_LENGTH, default="", blank=True)

    class Meta:
        verbose_name = _("event of a token family")
        verbose_name_plural = _("events of token families")
        default_permissions = ()
        indexes = (models.Index(fields=["kind", "created_at"], name="twotoken_event"),)

    def __str__(self) -> str:
        return str(EventKind(self.kind).label)
