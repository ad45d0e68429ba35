"""Settings of a project whose tenants share the token families, but have users of their own. W011 warns of this."""

from __future__ import annotations

from tests.integrations.tenants.settings import *  # noqa: F403
from tests.integrations.tenants.settings import DATABASES, SHARED_APPS, TENANT_APPS

DATABASES["default"]["NAME"] += "_shared"
SHARED_APPS = [*SHARED_APPS, "django.contrib.auth", "django.contrib.contenttypes", "twotoken"]
TENANT_APPS = [app for app in TENANT_APPS if app != "twotoken"]
