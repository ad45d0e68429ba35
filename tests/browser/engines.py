"""Firefox and WebKitGTK, driven by W3C WebDriver, because Playwright can't drive Debian's builds of these browsers."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tests.server import free_port

ESCAPE = "\ue00c"  # WebDriver section 17.4.2
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the member that names an element, WebDriver section 12
FUNCTION = re.compile(r"(async )?\([\w, \[\]]*\) => ")
CALL = """
const [parameters, done] = arguments;
const call = async () => (FUNCTION)(...parameters);
call().then((value) => done([value, null]), (error) => done([null, `${error.name}: ${error.message}`]));
"""


def program(*names: str) -> str:
    """Return the path of a program of the system, or fail the test if there is no such program."""
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, f"Install {names[0]}."
    return path


class DriverError(Exception):
    """The browser refused a command."""


class Engine(ABC):
    """A browser with an empty profile. The first tab stays empty and open, because commands need an open tab."""

    first: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def start(self) -> None:
        """Start the browser."""

    @abstractmethod
    def command(self, name: str, **parameters: Any) -> Any:
        """Send a WebDriver command. ``name`` is Firefox's name of the command."""

    def run(self, *command: str, **options: Any) -> None:
        """Start a program that is stopped together with the browser."""
        self.processes.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        )

    def stop(self) -> None:
        """Stop the programs that ``run`` has started."""
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)

    def tab(self, url: str) -> Tab:
        """Open a page in a new tab."""
        self.command("SwitchToWindow", handle=self.first)
        tab = Tab(self, self.command("NewWindow", type="tab")["handle"])
        tab.go(url)
        return tab


class Tab:
    """A tab of a browser. Each command brings the tab to the front."""

    def __init__(self, engine: Engine, handle: str) -> None:
        self.engine = engine
        self.handle = handle

    def command(self, name: str, **parameters: Any) -> Any:
        """Bring this tab to the front, and send a command to it."""
        self.engine.command("SwitchToWindow", handle=self.handle)
        return self.engine.command(name, **parameters)

    def go(self, url: str) -> None:
        """Open a page."""
        self.command("Navigate", url=url)

    def reload(self) -> None:
        """Load the page again."""
        self.command("Refresh")

    def close(self) -> None:
        """Close this tab."""
        self.command("CloseWindow")

    def evaluate(self, script: str, *parameters: Any) -> Any:
        """Call a JavaScript function with these parameters, or evaluate an expression. Return the value."""
        function = script if FUNCTION.match(script) else f"() => {script}"
        call = CALL.replace("FUNCTION", function)
        value, error = self.command("ExecuteAsyncScript", script=call, args=[list(parameters)])
        assert error is None, error
        return value

    def until(self, expression: str) -> None:
        """Wait until a condition holds."""
        for _ in range(400):
            try:
                if self.evaluate(expression):
                    return
            except (AssertionError, DriverError):
                pass  # the page is just being loaded
            time.sleep(0.05)
        raise AssertionError(f"not in time: {expression}")

    def find(self, selector: str) -> str:
        """Return WebDriver's reference to the element with this CSS selector."""
        name: str = self.command("FindElement", using="css selector", value=selector)[ELEMENT]
        return name

    def click(self, selector: str) -> None:
        """Scroll to an element, which WebKit's driver does not always do, and click it as a mouse does."""
        self.evaluate("(selector) => document.querySelector(selector).scrollIntoView({ block: 'center' })", selector)
        self.command("ElementClick", id=self.find(selector))

    def type(self, selector: str, text: str) -> None:
        """Type into an element."""
        self.command("ElementSendKeys", id=self.find(selector), text=text)


class Firefox(Engine):
    """Firefox, driven by Marionette, which is Firefox's own protocol, without geckodriver."""

    def start(self) -> None:
        port = free_port()
        (self.folder / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
        options = "--headless", "--no-remote", "--marionette", "--remote-allow-system-access"
        self.run(program("firefox-esr", "firefox"), *options, "--profile", str(self.folder))
        with connected(port) as connection:
            self.stream = connection.makefile("rwb")  # keeps the connection open
        self.answer()  # Firefox sends the first message
        self.command("NewSession", acceptInsecureCerts=True)
        self.first = self.command("GetWindowHandle")

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "stream"):
            self.stream.close()

    def command(self, name: str, **parameters: Any) -> Any:
        prefix = "Marionette" if name == "SetContext" else "WebDriver"  # WebDriver has no such command
        message = json.dumps([0, 1, f"{prefix}:{name}", parameters]).encode()
        self.stream.write(b"%d:%s" % (len(message), message))
        self.stream.flush()
        _, _, error, result = self.answer()
        if error is not None:
            raise DriverError(error)
        return result["value"] if isinstance(result, dict) and result.keys() == {"value"} else result

    def set_offline(self, value: bool) -> None:
        """Take the browser offline, as its menu does, or online again."""
        self.command("SetContext", value="chrome")
        self.command("ExecuteScript", script="Services.io.offline = arguments[0];", args=[value])
        self.command("SetContext", value="content")

    def answer(self) -> Any:
        """Read an answer: its length, a colon, and JSON."""
        length = b""
        while (byte := self.stream.read(1)) != b":":
            assert byte, "Firefox has ended."
            length += byte
        return json.loads(self.stream.read(int(length)))


class WebKit(Engine):
    """WebKitGTK's MiniBrowser, on a virtual display of its own."""

    PATHS = {
        "Navigate": ("POST", "/url"),
        "Refresh": ("POST", "/refresh"),
        "GetWindowHandle": ("GET", "/window"),
        "NewWindow": ("POST", "/window/new"),
        "SwitchToWindow": ("POST", "/window"),
        "CloseWindow": ("DELETE", "/window"),
        "ExecuteAsyncScript": ("POST", "/execute/async"),
        "FindElement": ("POST", "/element"),
        "ElementClick": ("POST", "/element/{id}/click"),
        "ElementSendKeys": ("POST", "/element/{id}/value"),
    }

    url = ""

    def start(self) -> None:
        port = free_port()
        environment = {**os.environ, "DISPLAY": self.new_display(), "HOME": str(self.folder)}
        self.run(program("WebKitWebDriver"), f"--port={port}", env=environment)
        connected(port).close()
        self.url = f"http://127.0.0.1:{port}/session"
        capabilities = {"alwaysMatch": {"acceptInsecureCerts": True}}
        self.url += "/" + self.send("POST", "", {"capabilities": capabilities})["sessionId"]
        self.first = self.command("GetWindowHandle")

    def new_display(self) -> str:
        """Start a virtual display, and return its name."""
        readable, writable = os.pipe()
        self.run(program("Xvfb"), "-displayfd", str(writable), "-nolisten", "tcp", pass_fds=[writable])
        os.close(writable)
        with os.fdopen(readable) as names:
            return f":{names.readline().strip()}"

    def stop(self) -> None:
        try:
            if self.url:
                self.send("DELETE", "")
        finally:
            super().stop()

    def command(self, name: str, **parameters: Any) -> Any:
        method, path = self.PATHS[name]
        return self.send(method, path.format(**parameters), parameters)

    def send(self, method: str, path: str, parameters: Any = None) -> Any:
        """Send a request to the driver."""
        body = json.dumps(parameters).encode() if method == "POST" else None
        request = urllib.request.Request(self.url + path, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise DriverError(json.loads(error.read())["value"]) from error


def connected(port: int) -> socket.socket:
    """Connect to a program that is just starting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the browser did not start"
            time.sleep(0.05)
