"""Purging of old families by the tasks, the schedule and the cron command that the docs show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import django
import pytest
from celery.schedules import crontab
from django.utils import timezone

from tests.factories import UserFactory
from tests.integrations.pages import module_of, settings_of
from twotoken import families
from twotoken.models import RefreshToken

TASK = "accounts.tasks.purge_token_families"


def two_families() -> tuple[UUID, UUID]:
    """Start two families, and revoke the second one 31 days ago. Return their ids."""
    user: Any = UserFactory()
    live, ended = (families.start(user).family_id for _ in range(2))
    families.revoke(ended)
    RefreshToken.objects.filter(pk=ended).update(revoked_at=timezone.now() - timedelta(days=31))
    return live, ended


@pytest.mark.django_db
def test_the_task() -> None:
    """The docs' Celery task deletes the old family and returns 1. A second run returns 0."""
    tasks = module_of("purging", "shared_task", "accounts.tasks")
    live, _ = two_families()
    assert tasks.purge_token_families.name == TASK
    assert [tasks.purge_token_families.apply().get() for _ in range(2)] == [1, 0]
    assert RefreshToken.objects.get().pk == live


@pytest.mark.skipif(django.VERSION < (6,), reason="Django 6.0 brought tasks.")
@pytest.mark.django_db
def test_the_task_of_django() -> None:
    """The docs' task for Django's own tasks deletes the old family and returns 1. A second run returns 0."""
    task = module_of("purging", "from django.tasks", "accounts.django_tasks").purge_token_families
    live, _ = two_families()
    results = [task.enqueue() for _ in range(2)]
    assert [(result.status, result.return_value) for result in results] == [("SUCCESSFUL", 1), ("SUCCESSFUL", 0)]
    assert RefreshToken.objects.get().pk == live


def test_the_schedule() -> None:
    """The docs' CELERY_BEAT_SCHEDULE runs the task once a day."""
    (entry,) = settings_of("purging", "CELERY_BEAT_SCHEDULE")["CELERY_BEAT_SCHEDULE"].values()
    assert entry == {"task": TASK, "schedule": crontab(hour=4, minute=17)}


@pytest.fixture
def worker(database: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker with beat, which uses the servers' database, and a folder as its broker."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.integrations.served",
        "DATABASE_URL": f"sqlite:///{database}",
        "C_FORCE_ROOT": "1",
    }
    command = [sys.executable, "-m", "celery", "-A", "tests.integrations.celery_app", "worker", "-B", "--pool", "solo"]
    with (database.parent / "celery.log").open("ab") as log:
        process = subprocess.Popen([*command, "-l", "INFO"], env=environment, stdout=log, stderr=log)
    yield process
    process.terminate()
    process.wait(30)


@pytest.mark.usefixtures("in_reach")
def test_a_worker_with_beat(worker: subprocess.Popen[bytes], database: Path) -> None:
    """A running Celery worker with beat deletes an old family and keeps an active one."""
    live, ended = two_families()
    deadline = time.monotonic() + 60
    while families.exists(ended):
        assert worker.poll() is None, (database.parent / "celery.log").read_text()
        assert time.monotonic() < deadline, (database.parent / "celery.log").read_text()
        time.sleep(0.2)
    assert families.exists(live)


def test_a_line_for_cron(database: Path) -> None:
    """``manage.py purge_token_families``, the docs' command for cron and timer, prints a count and no error."""
    environment: dict[str, Any] = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.integrations.served",
        "DATABASE_URL": f"sqlite:///{database}",
        # The tests' settings install django-axes without using it.
        "TEST_SETTINGS": json.dumps({"SILENCED_SYSTEM_CHECKS": ["axes.W002", "axes.W003"]}),
    }
    page = (Path(__file__).parents[2] / "docs" / "integrations" / "purging.md").read_text()
    assert page.count("python manage.py purge_token_families\n") == 2
    command = [sys.executable, "manage.py", "purge_token_families"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.endswith("deleted.\n")
    assert done.stderr == ""
