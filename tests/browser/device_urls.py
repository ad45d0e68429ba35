"""The URLs of the browser tests, and a mount with device cookies that live for TEST_DEVICE_SECONDS."""

from __future__ import annotations

import os
from datetime import timedelta

from django.urls import include, path

from tests.browser.urls import urlpatterns as others
from twotoken.contrib.dbsc import urls
from twotoken.contrib.dbsc.views import DeviceRefreshView, DeviceView

app_name = urls.app_name

lifetime = timedelta(seconds=int(os.environ["TEST_DEVICE_SECONDS"]))
mount = [
    path("device/", DeviceView.as_view(device_lifetime=lifetime), name="device"),
    path("device/refresh/", DeviceRefreshView.as_view(device_lifetime=lifetime), name="device_refresh"),
    *urls.urlpatterns,
]
urlpatterns = [path("api/auth/", include((mount, app_name))), *others]
