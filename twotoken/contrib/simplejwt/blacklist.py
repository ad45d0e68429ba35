"""The tables of ``rest_framework_simplejwt.token_blacklist``, whether that app is still installed or not.

They are read for as long as they exist: with the app taken out of INSTALLED_APPS the tokens that it refused would
otherwise be good again. So these are models of their own, in a registry of their own that no migration looks at.
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
    """A refresh token that simplejwt has issued. It keeps them in clear, so only what is needed is read."""

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
    """A refresh token that simplejwt takes no more."""

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
    """Tell whether simplejwt has kept a blacklist. Asked once for each old token, so it need not be remembered."""
    return BlacklistedToken._meta.db_table in connections[_alias()].introspection.table_names()


def contains(jti: str) -> bool:
    """Tell whether simplejwt would refuse this token. Read where is written: a replica that lags is never believed."""
    return exists() and BlacklistedToken._default_manager.using(_alias()).filter(token__jti=jti).exists()


def add(old: OldRefreshToken) -> None:
    """Have simplejwt refuse this token, should the project go back to it. To add it again changes nothing."""
    if exists():
        retry_on_conflict(lambda: _add(old))


def usable(now: datetime) -> models.QuerySet[OutstandingToken]:
    """Return the refresh tokens on record that simplejwt would still take."""
    refused = BlacklistedToken._default_manager.using(_alias()).values("token")
    return OutstandingToken._default_manager.using(_alias()).filter(expires_at__gt=now).exclude(pk__in=refused)


def _add(old: OldRefreshToken) -> None:
    # Those issued before the app was installed have no row. Its text is not needed, and would be a working token.
    details: dict[str, Any] = {"token": "", "expires_at": datetime.fromtimestamp(old.expires_at, UTC)}
    if not settings.USE_TZ:
        details["expires_at"] = timezone.make_naive(details["expires_at"])
    row, _ = OutstandingToken._default_manager.using(_alias()).get_or_create(jti=old.jti, defaults=details)
    BlacklistedToken._default_manager.using(_alias()).get_or_create(
        token=row, defaults={"blacklisted_at": timezone.now()}
    )


def _alias() -> str:
    return router.db_for_write(BlacklistedToken)
