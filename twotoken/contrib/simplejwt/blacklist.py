"""The tables of ``rest_framework_simplejwt.token_blacklist``, whether or not that app is still installed.

The tables are read as long as they exist. Otherwise blacklisted tokens would be valid again as soon as the app leaves
INSTALLED_APPS. So this module has models of its own, in a registry of their own, which migrations ignore.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.apps.registry import Apps
from django.conf import settings
from django.db import connections, models, router
from django.utils import timezone

from twotoken.conflicts import retry_on_conflict
from twotoken.contrib.simplejwt.tokens import MAX_JTI_LENGTH, OldRefreshToken

REGISTRY: Final = Apps()


class OutstandingToken(models.Model):
    """A refresh token that simplejwt issued. simplejwt stores it in plain text."""

    id = models.BigAutoField(primary_key=True)
    jti = models.CharField(unique=True, max_length=MAX_JTI_LENGTH)
    token = models.TextField()
    created_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        apps = REGISTRY
        app_label = "token_blacklist"
        db_table = "token_blacklist_outstandingtoken"
        managed = False

    def __str__(self) -> str:
        return self.jti


class BlacklistedToken(models.Model):
    """A refresh token that simplejwt refuses."""

    id = models.BigAutoField(primary_key=True)
    token = models.OneToOneField(OutstandingToken, models.CASCADE)
    blacklisted_at = models.DateTimeField()

    class Meta:
        apps = REGISTRY
        app_label = "token_blacklist"
        db_table = "token_blacklist_blacklistedtoken"
        managed = False

    def __str__(self) -> str:
        return str(self.token)


def exists() -> bool:
    """Tell whether simplejwt's blacklist exists. Not cached: it is called only a few times for each token."""
    return BlacklistedToken._meta.db_table in connections[_alias()].introspection.table_names()


def contains(jti: str) -> bool:
    """Tell whether the token with this ``jti`` is blacklisted. Uses the write database: a replica may lag."""
    return exists() and BlacklistedToken._default_manager.using(_alias()).filter(token__jti=jti).exists()


def add(old: OldRefreshToken) -> None:
    """Blacklist a token, so that a project that goes back to simplejwt refuses it. A second call changes nothing."""
    if exists():
        retry_on_conflict(lambda: _add(old))


def usable(now: datetime) -> models.QuerySet[OutstandingToken]:
    """Return the refresh tokens in simplejwt's tables that simplejwt would still accept."""
    refused = BlacklistedToken._default_manager.using(_alias()).values("token")
    return OutstandingToken._default_manager.using(_alias()).filter(expires_at__gt=now).exclude(pk__in=refused)


def _add(old: OldRefreshToken) -> None:
    # A token issued before the app was installed has no row. A new row gets no text: it would be a usable token.
    details: dict[str, Any] = {"token": "", "expires_at": datetime.fromtimestamp(old.expires_at, UTC)}
    if not settings.USE_TZ:
        details["expires_at"] = timezone.make_naive(details["expires_at"])
    row, _ = OutstandingToken._default_manager.using(_alias()).get_or_create(jti=old.jti, defaults=details)
    BlacklistedToken._default_manager.using(_alias()).get_or_create(
        token=row, defaults={"blacklisted_at": timezone.now()}
    )


def _alias() -> str:
    return router.db_for_write(BlacklistedToken)
