"""A random sample of token families. An estimate from it takes the same time however many families there are."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections

from twotoken.families.revocation import place
from twotoken.models import RefreshTokenQuerySet


class Sample(NamedTuple):
    """``rows`` has fields of some families. ``share`` is the share of these families among all: 1 means all."""

    rows: list[tuple[Any, ...]]
    share: float


def sample(families: RefreshTokenQuerySet, *fields: str, size: int) -> Sample:
    """Return the values of ``fields`` for a sample of up to ``size`` families. One SELECT.

    Primary keys are random, so the families with the lowest keys are a random sample, and the database finds them with
    the primary key's index. The last key that is read shows what share of all families the sample is, so nothing has to
    be counted.
    """
    found = list(families.order_by("pk").values_list("pk", *fields)[: size + 1])
    rows = [values[1:] for values in found[:size]]
    return Sample(rows, 1.0 if len(found) <= size else place(found[size][0], connections[families.db].vendor))
