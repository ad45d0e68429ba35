"""Faults between a server and a browser. A test sets them at ``/faults/``."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse


class FaultMiddleware:
    """Delays answers, cuts connections, or kills the server, before or after the view has run.

    POST a list of ``{"path", "what", "times", "seconds", "status"}``; ``what`` is ``delay``, ``delay answer``, ``cut``,
    ``lose answer``, ``status`` or ``kill after``. GET returns how often each path was called, and how many calls had an
    ``Authorization`` header. The server may have only one process.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.faults: list[dict[str, Any]] = []
        self.calls: dict[str, int] = {}
        self.lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/faults/":
            return self.control(request)
        fault = self.next_fault(request)
        what = fault.get("what")
        if what == "delay":
            time.sleep(fault["seconds"])
        elif what == "cut":
            return self.cut(request)
        elif what == "status":
            response = HttpResponse("{}", "application/json", fault["status"])
            if "retry_after" in fault:
                response["Retry-After"] = str(fault["retry_after"])
            return response
        answer = self.get_response(request)
        if what == "delay answer":
            time.sleep(fault["seconds"])
        elif what == "lose answer":
            return self.cut(request)
        elif what == "kill after":
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def control(self, request: HttpRequest) -> HttpResponseBase:
        """Set new faults, or return the counts of calls."""
        with self.lock:
            if request.method == "POST":
                self.faults = json.loads(request.body)
                self.calls = {}
            return JsonResponse(self.calls)

    def next_fault(self, request: HttpRequest) -> dict[str, Any]:
        """Count a call, and return its fault, or an empty dict if there is no fault for it."""
        with self.lock:
            for what in [request.path, "Authorization"] if "Authorization" in request.headers else [request.path]:
                self.calls[what] = self.calls.get(what, 0) + 1
            for fault in self.faults:
                if fault["path"] == request.path and fault.get("times", 1) > 0:
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return {}

    def cut(self, request: HttpRequest) -> HttpResponseBase:
        """Close the connection without an answer."""
        connection: socket.socket = request.META["gunicorn.socket"]
        connection.shutdown(socket.SHUT_RDWR)
        return HttpResponse()
