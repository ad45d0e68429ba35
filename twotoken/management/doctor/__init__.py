"""Examine a project for ``manage.py twotoken_doctor``: its checks, login, cache, database, front end and proxy.

A probe is a function that yields findings. The probes are in ``project``, ``stores``, ``front_end``, ``visit`` and
``mounts``. A mount is a place where the project includes ``twotoken.urls``. ``transports`` sends the probes' requests.
``sites`` and ``browser`` predict what browsers do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, router

from twotoken.conf import Delivery
from twotoken.management.doctor.findings import Fault, Finding, Status, skipped, wrong
from twotoken.management.doctor.front_end import (
    first_answer,
    probe_address,
    probe_cookie,
    probe_cors,
    probe_origin,
    probe_reach,
)
from twotoken.management.doctor.mounts import Mount, find_mounts, mount_at, probe_mounts
from twotoken.management.doctor.project import NAME_USER, local_url, probe_checks, probe_login, probe_tables
from twotoken.management.doctor.stores import probe_cache, probe_clock, probe_families
from twotoken.management.doctor.transports import InProcess, NoAnswer, OverHTTP, Transport, mount_url
from twotoken.management.doctor.visit import probe_client, probe_proof
from twotoken.models import RefreshToken

__all__ = ["Finding", "Options", "Status", "examine", "mount_url"]

# The report may repeat the texts of these errors, because they have no data from the project's tables.
TELLING = (ImproperlyConfigured, OperationalError, NoAnswer)


@dataclass(frozen=True, slots=True)
class Options:
    """What the doctor examines: ``url``, where clients reach ``twotoken.urls``, and ``front_end``, the URL of a page.

    ``credentials`` are the body of a login. If ``over_http`` is False, nothing is sent to ``url``: the requests run
    inside this process. ``databases`` are passed to the system checks; the default is the database with the families.
    """

    url: SplitResult | None = None
    front_end: SplitResult | None = None
    credentials: Mapping[str, str] | None = field(default=None, repr=False)
    over_http: bool = True
    databases: Sequence[str] = ()


def examine(options: Options) -> Iterator[Finding]:
    """Yield the findings of every probe. If a probe raises an error, yield the error as a finding."""
    with _quiet():
        alias = router.db_for_write(RefreshToken)
        deployed = not settings.DEBUG or (options.url is not None and options.url.scheme == "https")
        checks = partial(probe_checks, options.databases or (alias,), deployed=deployed)
        yield from (found := _guarded("checks", checks))
        if any(finding.probe.startswith("twotoken.E") for finding in found):
            yield skipped("login", "Fix these errors first. Until then nothing else can be tried.")
            return
        yield from _guarded("cache", probe_cache)
        yield from (tables := _guarded("tables", partial(probe_tables, alias)))
        is_ready = tables[-1].status is Status.OK
        if is_ready:
            yield from _guarded("clock", partial(probe_clock, alias))
            yield from _guarded("families", probe_families)
        yield from (found := _guarded("mounts", probe_mounts))
        if found[-1].status is not Status.OK:
            return
        mount = mount_at(find_mounts(), options.url.path if options.url else "")
        if is_ready:
            url = options.url or urlsplit(local_url())
            yield from _guarded("login", partial(probe_login, mount, url, options.credentials))
        if options.url is not None:
            yield from _outside(mount, options.url, options)


def _outside(mount: Mount, url: SplitResult, options: Options) -> Iterator[Finding]:
    """Yield the findings of the probes that send requests to ``twotoken.urls`` as a front end or a client does."""
    server = OverHTTP(url) if options.over_http else None
    transport: Transport = server or InProcess(url, mount.path)
    yield from (found := _guarded("reach", partial(_reach, transport, mount)))
    if found[0].status is not Status.OK:
        return
    by_cookie = mount.delivery is Delivery.COOKIE
    page = options.front_end or url
    if by_cookie:
        if server is not None:
            yield from _guarded("address", partial(probe_address, server))
        answer = first_answer(transport, mount)
        yield from _guarded("cookie", partial(probe_cookie, url, page, answer))
        if options.front_end is not None:
            yield from _guarded("origin", partial(probe_origin, transport, page))
    if options.front_end is not None:
        yield from _guarded("cors", partial(probe_cors, transport, page, mount))
    if server is None:
        return
    if options.credentials is None:
        yield skipped("client address", "The doctor has not logged in over HTTP.", NAME_USER)
        return
    yield from (found := _guarded("login over HTTP", partial(probe_client, server, mount, options.credentials)))
    if found[-1].status is not Status.WRONG:  # a second failed login could lock the user out
        yield from _guarded("htu", partial(probe_proof, server, mount, options.credentials))


def _reach(transport: Transport, mount: Mount) -> Iterator[Finding]:
    """Yield what ``probe_reach`` finds. If no answer comes, which is the most common fault, say what to do about it."""
    try:
        yield from probe_reach(transport, mount)
    except NoAnswer as exc:
        fault = Fault(
            f"{transport.url.geturl()} does not answer: {exc}.",
            "No client reaches twotoken there.",
            "Start the server, or correct --url. To try everything without a server, use --no-http.",
        )
        yield wrong("reach", fault)


def _guarded(name: str, probe: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a probe. An error becomes a finding, with the error's text if its class is in TELLING."""
    found: list[Finding] = []
    try:
        found.extend(probe())
    except Exception as exc:
        text = f"{type(exc).__name__}: {exc}" if isinstance(exc, TELLING) else type(exc).__name__
        found.append(wrong(name, Fault(f"This could not be tried: {text}.", "", "Fix this, and run the doctor again.")))
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch logging off while the probes run: the log must not show their requests as events of the project."""
    manager: Any = logging.root.manager
    before = manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
