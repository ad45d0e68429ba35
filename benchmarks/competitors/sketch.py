"""Not a package: two raw statements in a bare view, so that one sees what a rotation costs at least."""

from __future__ import annotations

from benchmarks.competitors.twotoken import TwoToken


class Sketch(TwoToken):
    """twotoken's login, and the refresh of ``benchmarks.sketch``."""

    name = "sketch"
    routes = {"auth/refresh/": "benchmarks.sketch.RefreshView", **TwoToken.routes}
    operations = frozenset({"refresh"})
    storage = []
