"""Checks of the database. ``manage.py check --database`` and ``manage.py migrate`` run those that make queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.apps.config import AppConfig
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Warning
from django.db import DatabaseError, connections, router, transaction

from twotoken import tokens
from twotoken.checks.rules import are_fine
from twotoken.checks.settings import check_claims
from twotoken.conf import conf
from twotoken.exceptions import ClaimsError

Apps = Sequence[AppConfig] | None


def check_deployed_statements(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W018: behind a connection pooler in transaction mode, such as PgBouncer, prepared statements must be off.

    The check takes DISABLE_SERVER_SIDE_CURSORS as the sign of such a pooler. If the pooler does not support prepared
    statements, a client can get the answer to the statement of another client.
    """
    database = connections[router.db_for_write(apps.get_model("twotoken", "RefreshToken"))].settings_dict
    options = database["OPTIONS"]
    is_pooled = database.get("DISABLE_SERVER_SIDE_CURSORS", False)
    if is_pooled and options.get("server_side_binding") and options.get("prepare_threshold") is not None:
        yield Warning(
            "Prepared statements are on, behind a connection pooler in transaction mode.",
            hint="Remove prepare_threshold from OPTIONS. Otherwise a request can get the answer to another request's "
            "statement. Silence this if the pooler supports prepared statements, such as PgBouncer 1.22 or newer with "
            "max_prepared_statements above 0.",
            id="twotoken.W018",
        )


def check_cluster(app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """W009: in a Galera cluster, each read from a node must wait until this node has the writes of the other nodes."""
    alias = router.db_for_write(apps.get_model("twotoken", "RefreshToken"))
    if alias not in (databases or ()):
        return
    connection = connections[alias]
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW VARIABLES WHERE variable_name IN ('wsrep_on', 'wsrep_sync_wait')")
            values = dict(cursor.fetchall())
        if values.get("wsrep_on") == "ON" and not int(values["wsrep_sync_wait"]) & 1:
            yield Warning(
                f"The database {alias!r} is a node of Galera, and its sessions don't wait for writes of other nodes. "
                "A new login may be refused, and a revoked family may still be accepted.",
                hint="Set OPTIONS['init_command'] to 'SET SESSION wsrep_sync_wait = 1'.",
                id="twotoken.W009",
            )


def check_claims_of_latest(
    app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """W015: ACCESS_CLAIMS must return valid claims. The check calls ACCESS_CLAIMS for the user of the latest login.

    If nobody has logged in yet, the check calls ACCESS_CLAIMS for the first user.
    """
    alias = router.db_for_write(apps.get_model("twotoken", "RefreshToken"))
    if alias not in (databases or ()) or not are_fine("ACCESS_CLAIMS") or list(check_claims(None)):
        return
    if conf.access_claims is None:
        return
    problem = ""
    # The rollback undoes whatever the callable writes. DatabaseError: before the first migrate there is no table.
    with suppress(DatabaseError), transaction.atomic(using=alias):
        family = _latest_family()
        try:
            if family is not None:
                tokens.check_claims(conf.access_claims(family.user, family), client_id=conf.client_id)
        except ClaimsError as exc:
            problem = str(exc)
        except Exception as exc:  # an error of the project's own code. Its text may hold personal data
            problem = f"It raised {type(exc).__name__}."
        transaction.set_rollback(True, using=alias)
    if problem:
        yield Warning(
            f"TWOTOKEN['ACCESS_CLAIMS'] failed when it was tried. {problem}",
            hint="Until it works, logins and refreshes are answered with a 500. It was called with a user and a token "
            "family, as it is at a login.",
            id="twotoken.W015",
        )


def _latest_family() -> Any:
    """Return the family of the latest login, with its user.

    If there is no login yet, return a new, unsaved family of the first user. If there is no user, return None.
    """
    model: Any = apps.get_model("twotoken", "RefreshToken")
    family = model.objects.primary().select_related("user").order_by("-created_at").first()
    if family is None:
        users: Any = get_user_model()
        user = users._default_manager.using(router.db_for_write(users)).order_by("pk").first()
        family = None if user is None else model(user=user)
    return family
