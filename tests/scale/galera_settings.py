"""The project of the proof on a node of Galera: a connection that died with its node is noticed before it is used."""

from __future__ import annotations

from tests.proof import settings as proof
from tests.proof.settings import *  # noqa: F403

DATABASES = {"default": {**proof.DATABASES["default"], "CONN_HEALTH_CHECKS": True}}
