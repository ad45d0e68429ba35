from __future__ import annotations

import uuid
from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import twotoken.models


def leave_room_for_updates(apps: Any, schema_editor: Any) -> None:
    """Leave room in each page of a PostgreSQL table, so that a rotation can update a row in its page (heap-only)."""
    if schema_editor.connection.vendor == "postgresql":
        table = schema_editor.quote_name(apps.get_model("twotoken", "RefreshToken")._meta.db_table)
        schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RefreshToken",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "secret",
                    models.BinaryField(default=twotoken.models.new_secret, max_length=16, verbose_name="secret"),
                ),
                ("generation", models.PositiveIntegerField(default=0, verbose_name="rotations")),
                ("retry_key", models.BinaryField(default=b"", max_length=32, verbose_name="digest of the last key")),
                ("is_browser", models.BooleanField(default=False, verbose_name="started by a browser")),
                (
                    "device_key",
                    models.TextField(blank=True, default="", editable=False, verbose_name="key of the device"),
                ),
                (
                    "context",
                    models.JSONField(blank=True, default=dict, editable=False, verbose_name="context of the login"),
                ),
                (
                    "auth_hash",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=128, verbose_name="session auth hash"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name="started"),
                ),
                (
                    "refreshed_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="last refreshed"),
                ),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, default=None, null=True, verbose_name="expires"),
                ),
                (
                    "earliest_end",
                    models.DateTimeField(
                        db_index=True,
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="does not expire before",
                    ),
                ),
                ("revoked_at", models.DateTimeField(blank=True, default=None, null=True, verbose_name="revoked")),
                ("revoked_reason", models.CharField(blank=True, default="", max_length=32, verbose_name="reason")),
                (
                    "login_ip_address",
                    models.GenericIPAddressField(
                        blank=True, db_index=True, default=None, null=True, verbose_name="address at login"
                    ),
                ),
                (
                    "ip_address",
                    models.GenericIPAddressField(blank=True, default=None, null=True, verbose_name="address"),
                ),
                ("user_agent", models.CharField(blank=True, default="", max_length=512, verbose_name="user agent")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="token_families",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "token family",
                "verbose_name_plural": "token families",
                "permissions": (("revoke_refreshtoken", "Can revoke token families"),),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="FamilyEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("device", "device changed"),
                            ("retried", "retried from another device or address"),
                            ("reuse", "refresh token reused"),
                            ("revoked", "revoked"),
                            ("wrong_device", "refused on another device"),
                            ("unbound", "unbound from its device"),
                        ],
                        max_length=16,
                        verbose_name="event",
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="time")),
                (
                    "ip_address",
                    models.GenericIPAddressField(
                        blank=True, db_index=True, default=None, null=True, verbose_name="address"
                    ),
                ),
                ("user_agent", models.CharField(blank=True, default="", max_length=512, verbose_name="user agent")),
                (
                    "previous_user_agent",
                    models.CharField(blank=True, default="", max_length=512, verbose_name="user agent before"),
                ),
                (
                    "generations_behind",
                    models.PositiveIntegerField(blank=True, default=None, null=True, verbose_name="generations behind"),
                ),
                ("actor", models.CharField(blank=True, default="", max_length=150, verbose_name="by")),
                (
                    "family",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="twotoken.refreshtoken",
                        verbose_name="token family",
                    ),
                ),
            ],
            options={
                "verbose_name": "event of a token family",
                "verbose_name_plural": "events of token families",
                "default_permissions": (),
            },
        ),
        migrations.AddIndex(
            model_name="refreshtoken",
            index=twotoken.models.PartialIndex(fields=["revoked_at"], name="twotoken_revoked"),
        ),
        migrations.AddIndex(
            model_name="refreshtoken",
            index=twotoken.models.PartialIndex(fields=["revoked_reason", "revoked_at"], name="twotoken_reason"),
        ),
        migrations.AddIndex(
            model_name="refreshtoken",
            index=twotoken.models.BoundIndex(fields=["created_at"], name="twotoken_bound"),
        ),
        migrations.AddIndex(
            model_name="refreshtoken",
            index=twotoken.models.UnrevokedIndex(fields=["created_at"], name="twotoken_unrevoked"),
        ),
        migrations.AddIndex(
            model_name="familyevent",
            index=models.Index(fields=["kind", "created_at"], name="twotoken_event"),
        ),
        migrations.RunPython(leave_room_for_updates, migrations.RunPython.noop),
    ]
