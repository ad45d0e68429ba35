"""The doctor's probes of the project itself: its system checks, its tables, and a login inside this process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import SplitResult

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections, models, router, transaction

from twotoken.conf import Delivery, conf
from twotoken.management.doctor.findings import Fault, Finding, ok, skipped, wrong
from twotoken.management.doctor.mounts import Mount
from twotoken.management.doctor.transports import Answer, InProcess
from twotoken.models import FamilyEvent, RefreshToken

OUR_CHECKS = ("twotoken.", "twotoken_")  # the ids of the checks of contrib begin with twotoken_
NAME_USER = "Name a user with --user."


def probe_checks(databases: Sequence[str], *, deployed: bool) -> Iterator[Finding]:
    """Run the system checks. Report the errors of all apps, and the warnings of twotoken."""
    messages = [
        message
        for message in run_checks(include_deployment_checks=deployed, databases=databases)
        if not message.is_silenced() and (message.level >= ERROR or str(message.id).startswith(OUR_CHECKS))
    ]
    for message in messages:
        yield wrong(str(message.id), Fault(str(message.msg), "", str(message.hint or "")))
    if not messages:
        yield ok("checks", f"manage.py check{' --deploy' if deployed else ''} finds no error, and no twotoken warning.")


def probe_tables(alias: str) -> Iterator[Finding]:
    """Check whether twotoken's tables exist."""
    connection = connections[alias]
    missing = {RefreshToken._meta.db_table, FamilyEvent._meta.db_table} - set(connection.introspection.table_names())
    if missing:
        yield wrong(
            "tables",
            Fault(
                f"The database {alias!r} has no table {min(missing)}.",
                "No login works.",
                "Run manage.py migrate, with the environment of the server.",
            ),
        )
    else:
        yield ok("tables", f"The database {alias!r} answers and has the tables.")


def probe_login(mount: Mount, url: SplitResult, credentials: Mapping[str, str] | None) -> Iterator[Finding]:
    """Log in, refresh and log out inside this process, in a transaction that is rolled back.

    If the project has several databases, also check whether families are read from the database they are written to.
    """
    if conf.dpop == "required":
        reason = "TWOTOKEN['DPOP'] is 'required', and a login inside this process sends no proof."
        yield skipped("login", reason, "Give --url and --user: over HTTP the doctor sends a proof.")
        return
    with _rolled_back():
        if credentials is None:
            try:
                credentials = _new_user()
            except (DatabaseError, ValidationError, TypeError, ValueError) as exc:
                reason = f"A user can't be created without more values ({type(exc).__name__})."
                yield skipped("login", reason, NAME_USER)
                return
        with _watched() as read:
            yield _session(InProcess(url, mount.path), mount, credentials)
    alias = router.db_for_write(RefreshToken)
    if len(connections.settings) == 1:
        return
    if read:
        yield wrong(
            "replica",
            Fault(
                f"The login read token families from the database {min(read)!r}, but they are written to {alias!r}.",
                "A replica may lag, and then a revoked family still counts as active.",
                "Let your code use RefreshToken.objects.primary(), or the functions of twotoken.families.",
            ),
        )
    else:
        yield ok("replica", f"Token families are read where they are written: from the database {alias!r}.")


def _session(transport: InProcess, mount: Mount, credentials: Mapping[str, str]) -> Finding:
    answer = transport.send("POST", "login/", {}, credentials)
    if answer.status != 200:
        return wrong("login", login_fault(answer))
    cookie = {"Cookie": answer.cookie_header}
    body = {"refresh": answer.body["refresh"]} if mount.delivery is Delivery.BODY else None
    if mount.delivery is Delivery.COOKIE and f"{conf.cookie_name}=" not in answer.cookie_header:
        return wrong(
            "login",
            Fault(
                f"A login at {mount.path} sets no cookie {conf.cookie_name}.",
                "The browser gets no refresh token.",
                "Look for a middleware, or a login view of your own, that drops the cookie.",
            ),
        )
    if mount.delivery is not Delivery.NONE:
        again = transport.send("POST", "refresh/", cookie, body)
        if again.status != 200:
            return wrong("login", step_fault("refresh", again))
        cookie = {"Cookie": again.cookie_header}
        body = {"refresh": again.body["refresh"]} if mount.delivery is Delivery.BODY else None
    bearer = {"Authorization": f"Bearer {answer.body['access']}"} if mount.delivery is Delivery.NONE else cookie
    end = transport.send("POST", "logout/", bearer, body)
    if end.status != 204:
        return wrong("login", step_fault("logout", end))
    return ok("login", f"Login, refresh and logout work at {mount.path} inside this process.")


def login_fault(answer: Answer) -> Fault:
    """Return the fault to report for a login that was refused."""
    remedies = {
        "no_active_account": "Check the name and password, is_active of the user, and AUTHENTICATION_BACKENDS.",
        "throttled": "Wait as long as Retry-After says, or look at TWOTOKEN['LOGIN_THROTTLE'].",
    }
    fault = step_fault("login", answer)
    return Fault(fault.text, fault.why, remedies.get(answer.code, fault.remedy))


def step_fault(step: str, answer: Answer) -> Fault:
    """Return the fault to report for a refused request, with the answer's status and code, but never its body."""
    code = f" {answer.code or answer.error}".rstrip()
    return Fault(
        f"The {step} was answered with a {answer.status}{code}.",
        "Clients can't use the API.",
        "The server's log says more."
        if answer.status >= 500
        else "Look for a middleware that answers in place of twotoken.",
    )


@contextmanager
def _rolled_back() -> Iterator[None]:
    """When the block ends, roll back every change in all databases to which the project's models are written."""
    aliases = {router.db_for_write(model) for model in apps.get_models()}
    with ExitStack() as stack:
        for alias in sorted(aliases):
            stack.enter_context(transaction.atomic(using=alias))
            stack.callback(transaction.set_rollback, True, using=alias)
        yield


@contextmanager
def _watched() -> Iterator[set[str]]:
    """Collect the aliases of the databases from which families are read, except the one to which they are written."""
    read: set[str] = set()
    table = RefreshToken._meta.db_table

    def watcher(alias: str) -> Callable[..., Any]:
        def watch(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            if table in sql:
                read.add(alias)
            return execute(sql, *rest)

        return watch

    with ExitStack() as stack:
        for alias in set(connections) - {router.db_for_write(RefreshToken)}:
            stack.enter_context(connections[alias].execute_wrapper(watcher(alias)))
        yield read


def _new_user() -> dict[str, str]:
    """Create a user with a random name, and return the user's credentials. Sends neither pre_save nor post_save."""
    model: Any = get_user_model()
    name = f"twotoken-doctor-{secrets.token_hex(6)}"
    values = {
        field: f"{name}@example.invalid" if isinstance(model._meta.get_field(field), models.EmailField) else name
        for field in {model.USERNAME_FIELD, model.get_email_field_name(), *model.REQUIRED_FIELDS}
        if field in {each.name for each in model._meta.get_fields()}
    }
    password = secrets.token_urlsafe()
    user = model(**values)
    user.set_password(password)
    alias = router.db_for_write(model)
    with transaction.atomic(using=alias):
        model._default_manager.using(alias).bulk_create([user])
    return {model.USERNAME_FIELD: values[model.USERNAME_FIELD], "password": password}


def local_url() -> str:
    """Return the URL for requests inside this process. Its host is one that ALLOWED_HOSTS accepts."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return f"https://{[*hosts, 'localhost'][0]}/"
