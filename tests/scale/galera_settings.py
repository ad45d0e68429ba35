"""Settings of ``tests.proof`` for a Galera node. Django checks connections before use, because a node may have died."""

from __future__ import annotations

from tests.proof import settings as proof
from tests.proof.settings import *  # noqa: F403

DATABASES = {"default": {**proof.DATABASES["default"], "CONN_HEALTH_CHECKS": True}}
