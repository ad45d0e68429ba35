"""Searches the admin's list by id, IP address, or user name. A search uses an index if the database has one for it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.contrib.admin.utils import get_fields_from_path
from django.db import connections
from django.db.models import CharField, Q, QuerySet, TextField, UniqueConstraint

from twotoken.clients import stored_address
from twotoken.models import FamilyEvent, RefreshToken

TERM_LENGTH: Final = 254  # a search term has at most as many characters as the longest e-mail address
EVENTS: Final = 500  # at most so many events of one address are searched, the newest ones
EVERYWHERE: Final = "*"  # around a term, as in "*part*": the search then looks at all rows
LAST: Final = "\U0010ffff"  # no character sorts after this one


def part(term: str) -> str:
    """Return the text between the asterisks of a term such as "*part*". Without them, return an empty string."""
    return term.strip(EVERYWHERE).strip() if term.startswith(EVERYWHERE) and term.endswith(EVERYWHERE) else ""


def by_key(families: QuerySet[RefreshToken], term: str) -> QuerySet[RefreshToken] | None:
    """Return the family with this id, or the families of this IP address. If the term is neither, return None."""
    try:
        return families.filter(pk=UUID(term))
    except ValueError:
        pass  # not an id
    if address := stored_address(part(term)):
        return families.filter(Q(ip_address=address) | Q(login_ip_address=address))
    if address := stored_address(term):
        # The events have their own query: for a subquery beside another condition, PostgreSQL would read all families.
        events = FamilyEvent.objects.using(families.db).filter(ip_address=address).order_by("-pk")
        return families.filter(
            Q(login_ip_address=address) | Q(pk__in=list(events.values_list("family_id", flat=True)[:EVENTS]))
        )
    return None


def by_beginning(families: QuerySet[RefreshToken], names: tuple[str, ...], term: str) -> QuerySet[RefreshToken]:
    """Return the families of the users with a name that begins with the term.

    ``names`` are the paths from a family to the fields with its user's names. Fields without an index are not searched,
    because the database would read all users. If no field has an index, or if the term may be an e-mail address, all
    fields are searched.
    """
    fields = {name: get_fields_from_path(RefreshToken, name)[-1] for name in names}
    indexed = [name for name, field in fields.items() if _is_indexed(field)]
    condition = Q()
    for name in fields if "@" in term or not indexed else indexed:
        condition |= begins(name, fields[name], term, connections[families.db].vendor)
    return families.filter(condition)


def begins(name: str, field: Any, term: str, vendor: str) -> Q:
    """Return the condition that a text column begins with a term, in a form for which the database can use an index.

    On MariaDB the condition ignores case. On other databases it accepts the term as typed, in lower case, in upper
    case, and with a capital at the beginning of the term or of each word.
    """
    if vendor == "mysql" or not isinstance(field, CharField | TextField):
        return Q(**{f"{name}__istartswith": term})
    condition = Q()
    for spelling in dict.fromkeys((term, term.lower(), term.upper(), term.capitalize(), term.title())):
        if vendor == "sqlite":  # its LIKE uses no index
            condition |= Q(**{f"{name}__gte": spelling, f"{name}__lt": spelling + LAST})
        else:
            condition |= Q(**{f"{name}__startswith": spelling})
    return condition


def _is_indexed(field: Any) -> bool:
    """Tell whether the field has an index or is the first field of one."""
    options = field.model._meta
    unique = [constraint for constraint in options.constraints if isinstance(constraint, UniqueConstraint)]
    firsts = {index.fields[0] for index in [*options.indexes, *unique] if index.fields}
    return bool(field.db_index or field.unique or field.name in firsts)
