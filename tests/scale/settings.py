"""The settings of ``tests.proof``, changed by the JSON in the environment variable SCALE_SETTINGS."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.proof import settings as proof
from tests.proof.settings import *  # noqa: F403

VARIABLE = "SCALE_SETTINGS"

different: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
# Of a database only what is not as the proof's default has it.
DATABASES = {
    alias: {**proof.DATABASES["default"], **values}
    for alias, values in {"default": {}, **different.pop("DATABASES", {})}.items()
}
globals().update(different)
