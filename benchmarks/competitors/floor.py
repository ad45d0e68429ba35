"""No authentication: the same view on Django and DRF alone, so that one sees what is left to win."""

from __future__ import annotations

from benchmarks.competitor import Competitor


class Floor(Competitor):
    """The view without authentication, which every process has."""

    name = "floor"
    operations = frozenset()
