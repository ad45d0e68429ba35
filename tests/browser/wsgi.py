"""The WSGI application of the browser tests, with its static files."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.settings")

application = StaticFilesHandler(get_wsgi_application())
