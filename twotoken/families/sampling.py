"""A random sample of token families, for estimates that take the same time however many families there are."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections

from twotoken.families.revocation import place
from twotoken.models import RefreshTokenQuerySet


class Sample(NamedTuple):
    """Fields of some families, and what share of all families these are: from 0 to 1, where 1 means all."""

    rows: list[tuple[Any, ...]]
    share: float


def sample(families: RefreshTokenQuerySet, *fields: str, size: int) -> Sample:
    """Return these fields of up to ``size`` of the families. One SELECT.

    Keys are random, so the families with the lowest keys are a random sample, and the database finds them by the
    primary key. The last key that is read shows what share of all families the sample is, so they need not be counted.
    """
    found = list(families.order_by("pk").values_list("pk", *fields)[: size + 1])
    rows = [values[1:] for values in found[:size]]
    return Sample(rows, 1.0 if len(found) <= size else place(found[size][0], connections[families.db].vendor))
