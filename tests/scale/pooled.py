"""The settings of the main suite for a database behind PgBouncer, as Django's documentation has them."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

# Prepared statements are off unless asked for.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DATABASES["replica"]["DISABLE_SERVER_SIDE_CURSORS"] = True
