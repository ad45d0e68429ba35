"""Checks the built site: each link in its pages and llms.txt leads somewhere, and no page loads from another host."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("use", "href")}


class Page(HTMLParser):
    """The ids, the links and the loaded URLs of an HTML page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = {""}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id":
                self.places.add(value)
            elif (tag, name) in LOADED:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href"):
                self.links.append(value)


def wrong(site: Path) -> list[str]:
    """Print and return what is wrong with the site: links that lead nowhere, and loads from other hosts."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for url in page.links + page.loaded:
            parts = urlsplit(url)
            if parts.scheme == "data" or (parts.scheme and url in page.links):
                continue
            if parts.netloc:
                found.append(f"{path.name} loads {url}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = pages.get(target)
            if not target.exists() or (there and unquote(parts.fragment) not in there.places):
                found.append(f"{path.name} has {url}, which leads nowhere")
    linked = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text())
    found += [f"llms.txt has {name}, which leads nowhere" for name in linked if not (site / name).exists()]
    print("\n".join(found) or f"{len(pages)} pages passed")
    return found


if __name__ == "__main__":
    sys.exit(bool(wrong(Path(sys.argv[1]))))
