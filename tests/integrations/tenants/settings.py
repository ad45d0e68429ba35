"""Settings of a project with django-tenants on PostgreSQL, as the docs' page on tenants shows them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dj_database_url

from tests.integrations.pages import module_of, settings_of
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, TWOTOKEN

sys.path.insert(0, str(Path(__file__).parent))  # where the package ``customers`` is
module_of("tenants", "def issuer", "customers.tenants")

ALLOWED_HOSTS = [".localhost"]
DATABASES = {
    "default": dj_database_url.parse(os.environ.get("POSTGRESQL_URL", "postgres://postgres@127.0.0.1:5432/test"))
}
DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
DATABASES["default"]["NAME"] += "_tenants"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_MODEL, TENANT_DOMAIN_MODEL = "customers.Client", "customers.Domain"
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *MIDDLEWARE]
SHARED_APPS = ["django_tenants", "customers"]
TENANT_APPS = [app for app in INSTALLED_APPS if app not in {"rest_framework", "twotoken"}]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]

os.environ |= {"JWT_ACCESS_SECRET": TWOTOKEN["ACCESS_SECRET"], "JWT_REFRESH_SECRET": TWOTOKEN["REFRESH_SECRET"]}
shown = settings_of("tenants", "TENANT_APPS", INSTALLED_APPS=INSTALLED_APPS, TENANT_APPS=TENANT_APPS)
vars().update(shown)
TWOTOKEN = {**TWOTOKEN, **shown["TWOTOKEN"]}
