"""A Celery application with the docs' task and schedule for purging. Here the schedule runs the task every second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
from celery import Celery
from django.conf import settings

from tests.integrations.pages import module_of, settings_of

django.setup()
folder = Path(settings.DATABASES["default"]["NAME"]).parent / "queue"
for name in ("messages", "processed"):
    (folder / name).mkdir(parents=True, exist_ok=True)

schedule: dict[str, Any] = settings_of("purging", "CELERY_BEAT_SCHEDULE")["CELERY_BEAT_SCHEDULE"]
app = Celery("integrations", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(folder / "messages"),
    "data_folder_out": str(folder / "messages"),
    "processed_folder": str(folder / "processed"),
    "control_folder": str(folder / "control"),
}
app.conf.beat_schedule = {name: {**entry, "schedule": 1.0} for name, entry in schedule.items()}
app.conf.beat_schedule_filename = str(folder / "schedule")
app.set_default()
tasks = module_of("purging", "shared_task", "accounts.tasks")
