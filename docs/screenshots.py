"""Screenshots of the admin and of the demo page, for the built site.

``python docs/screenshots.py`` takes them with Chromium (named in CHROMIUM, or found on the PATH), and writes them into
``docs/_screenshots``. A page shows a screenshot by a comment, ``<!-- screenshot: name, what it shows -->``. The build
of the site replaces the comment by the picture. So people who read the pages beside the code see no broken picture.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "_screenshots"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, expect  # noqa: E402 - the path comes first

from tests.browser.conftest import PASSWORD, Server, running_chromium  # noqa: E402
from tests.browser.test_admin import PHONE, log_in, refresh  # noqa: E402

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


def take_all(folder: Path) -> None:
    """Take every screenshot, and write it into the folder."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, running_chromium() as browser:
        server = Server(Path(temporary), TEST_BROWSER_GRACE="0")
        server.start()
        try:
            admin(server, browser, folder)
            demo(server, browser, folder)
        finally:
            server.stop()


def admin(server: Server, browser: Browser, folder: Path) -> None:
    """Take screenshots of the admin after a theft: the list, a family's page, the overview, and a confirmation page."""
    stolen = log_in(server, **{"User-Agent": PHONE})
    refresh(server, stolen["refresh"], **{"User-Agent": "python-requests/2.32"})
    refresh(server, stolen["refresh"], **{"User-Agent": PHONE})
    for name, device in (("demo", PHONE), ("demo", FIREFOX), ("admin", FIREFOX), ("demo", "curl/8.5.0")):
        log_in(server, name, **{"User-Agent": device})
    page = browser.new_page(viewport={"width": 1400, "height": 700})
    page.goto(f"{server.url}/admin/twotoken/refreshtoken/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(5)
    page.locator("#content").screenshot(path=folder / "admin-list.png")
    rows.filter(has_text="refresh token reused").locator("th a").click()
    expect(page.locator("#timeline tbody tr").last).to_contain_text("Revoked")
    page.locator("#content").screenshot(path=folder / "admin-family.png")
    page.go_back()
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".twotoken-cards").first).to_contain_text("Logins")
    page.locator("#content").screenshot(path=folder / "admin-overview.png")
    page.go_back()
    rows.filter(has_text="active").first.locator("th a").click()
    page.get_by_role("link", name="Revoke this family").click()
    expect(page.locator("#content")).to_contain_text("Are you sure")
    page.locator("#content").screenshot(path=folder / "admin-confirmation.png")


def demo(server: Server, browser: Browser, folder: Path) -> None:
    """Take screenshots of the demo page: the theft, and the page after a login."""
    page = browser.new_page(viewport={"width": 1100, "height": 1190})
    page.goto(server.url)
    for step in page.locator("[data-step]").all():
        step.click()
    expect(page.locator("#victim .state")).to_contain_text("Refused")
    page.locator("#theft").screenshot(path=folder / "demo-theft.png")
    page.reload()
    page.locator("#login [name=password]").fill(PASSWORD)
    page.locator("#login button").click()
    expect(page.locator("#session-title")).to_have_text("Logged in as demo")
    page.get_by_role("button", name="Call with a bad token").click()
    expect(page.locator("#call-says")).to_contain_text("200 in the end")
    expect(page.locator("#refresh-name")).to_have_text("R1")
    page.locator("#session-part").evaluate("(part) => scrollTo(0, part.offsetTop - 70)")
    page.screenshot(path=folder / "demo.png")


if __name__ == "__main__":
    take_all(FOLDER)
