"""No authentication: the same view with only Django and DRF, as the lower bound of the costs."""

from __future__ import annotations

from benchmarks.competitor import Competitor


class Floor(Competitor):
    """The view without authentication."""

    name = "floor"
    operations = frozenset()
