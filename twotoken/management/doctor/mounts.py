"""Find the project's mounts. A mount is a place where the project includes ``twotoken.urls``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.urls import NoReverseMatch, get_resolver, get_script_prefix, reverse

from twotoken import checks
from twotoken.conf import Delivery, conf, delivery
from twotoken.management.doctor.findings import Fault, Finding, ok, wrong


@dataclass(frozen=True, slots=True)
class Mount:
    """A place where the project includes ``twotoken.urls``."""

    path: str  # as in Django's URLconf: without a script prefix, with a slash at both ends
    delivery: Delivery


def find_mounts() -> list[Mount]:
    """Return the mounts with a fixed path. Mounts with a variable in the path, such as a tenant, are left out."""
    found = []
    for namespace, options in checks.mounts(get_resolver().url_patterns):
        with suppress(NoReverseMatch):
            path = reverse(f"{namespace}:login").removeprefix(get_script_prefix().rstrip("/"))
            found.append(Mount(path.removesuffix("login/"), delivery(options.get("delivery", conf.delivery))))
    return found


def probe_mounts() -> Iterator[Finding]:
    """Check whether the project includes ``twotoken.urls``, and list the paths."""
    mounts = find_mounts()
    if mounts:
        named = ", ".join(f"{mount.path} ({mount.delivery})" for mount in mounts)
        yield ok("mounts", f"twotoken.urls is mounted at {named}.")
        return
    yield wrong(
        "mounts",
        Fault(
            "twotoken.urls is not mounted.",
            "There is no login.",
            "Add path('api/auth/', include('twotoken.urls')) to the urlpatterns of ROOT_URLCONF.",
        ),
    )


def mount_at(mounts: Sequence[Mount], path: str) -> Mount:
    """Return the mount (``include`` of ``twotoken.urls``) that a client reaches at a path.

    A proxy may strip the beginning of the path, so the path only has to end with the mount's path. If no mount fits,
    return the first mount with the delivery ``cookie`` or, without such a mount, the first mount.
    """
    fitting = [mount for mount in mounts if path.endswith(mount.path)]
    if fitting:
        return max(fitting, key=lambda mount: len(mount.path))
    return next((mount for mount in mounts if mount.delivery is Delivery.COOKIE), mounts[0])
