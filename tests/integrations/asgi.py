"""The ASGI application of the tests' servers: Django with its static files, and the docs' WebSocket application."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from tests.integrations.pages import module_of

django_application = get_asgi_application()
consumers = module_of("websockets", "class NewsConsumer", "news.consumers")
shown = module_of("websockets", "ProtocolTypeRouter", "shown_asgi")
static = ASGIStaticFilesHandler(django_application)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Send HTTP to Django with its static files, as runserver does, and WebSockets to the application in the docs."""
    await (static if scope["type"] == "http" else shown.application)(scope, receive, send)
