"""The main suite's settings, for a database behind PgBouncer: changed as Django's documentation says."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

# Prepared statements are off unless asked for.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DATABASES["replica"]["DISABLE_SERVER_SIDE_CURSORS"] = True
