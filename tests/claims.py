"""Callables for ACCESS_CLAIMS."""

from __future__ import annotations

from typing import Any


def role(user: Any, family: Any) -> dict[str, Any]:
    """Return a claim that depends on whether the user is staff."""
    return {"role": "staff" if user.is_staff else "user"}


def reserved(user: Any, family: Any) -> dict[str, Any]:
    """Return a claim with a reserved name."""
    return {"sub": "somebody else"}


def client(user: Any, family: Any) -> dict[str, Any]:
    """Return the claim ``client_id``, as in a project with several apps."""
    return {"client_id": "app"}


def no_dict(user: Any, family: Any) -> Any:
    """Return a value that is not a dict."""
    return ["role"]


def huge(user: Any, family: Any) -> dict[str, Any]:
    """Return claims that are longer than a token may be."""
    return {"text": "x" * 10_000}


def unfit(user: Any, family: Any) -> dict[str, Any]:
    """Return a value that JSON can't hold."""
    return {"family": family.pk}


def writing(user: Any, family: Any) -> dict[str, Any]:
    """Write to the database, which a callable for claims should not do."""
    user.first_name = "changed by the claims"
    user.save()
    return {}


def asking_the_database(user: Any, family: Any) -> dict[str, Any]:
    """Run a statement that fails."""
    type(user).objects.raw("SELECT nothing FROM nowhere")[0]
    return {}  # pragma: no cover


def of_a_context(user: Any, family: Any) -> dict[str, Any]:
    """Return a claim from the login's context, which not every login has."""
    return {"tenant": family.context["tenant"]}


def broken(user: Any, family: Any) -> dict[str, Any]:
    """Raise an error, as a project's code may do."""
    raise RuntimeError("no claims today")
