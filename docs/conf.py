"""Sphinx's configuration, for ``tox -e docs``. The build fetches nothing: no inventories, fonts or scripts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generate  # sets up Django

import twotoken

project = "twotoken"
author = "the contributors of twotoken"
version = release = twotoken.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"twotoken {release}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options: dict[str, Any] = {"navigation_with_keys": True}
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

myst_heading_anchors = 4  # as code hosts have them, so that a link works in both places

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# Other projects' names, and what is private here: there is nothing offline to link to.
nitpick_ignore_regex = [
    (r"py:.*", r"(datetime|uuid|collections|typing|enum|os|http|httpx|requests|django|rest_framework)\..*"),
    (r"py:.*", r"(timedelta|UUID|Any|optional|AbstractBaseUser|Lifetime|AuthOptions|AuthBase)"),
    (r"py:.*", r"twotoken\.contrib\.scripts\.session\.Session"),
    (r"py:.*", r"twotoken\.(families\.logins\._FromSettings|models\.State)"),
]

# What is above this folder and a page here. A line that is nothing but a link to it is the place for its text.
ABOVE = {"README": "index", "CHANGELOG": "changelog", "CONTRIBUTING": "contributing", "SECURITY": "security"}
PLACE = re.compile(rf"^\[[^]]*\]\((?:\.\./)+({'|'.join(ABOVE)})\.md\)$", re.MULTILINE)
LINK = re.compile(rf"\]\((?:\.\./)*({'|'.join(ABOVE)})\.md(#[^)]*)?\)")
SCREENSHOT = re.compile(r"<!-- screenshot: ([\w-]+), (.*?) -->", re.DOTALL)
PATTERN = re.compile(r"^[\w/-]*\*$\n", re.MULTILINE)


def read(app: Any, docname: str, source: list[str]) -> None:
    """Change the source of a page into the source for the site.

    Generate the reference anew from the code. Replace a line that only links to a file above this folder, such as the
    README, by the text of the file. Correct the links to these files. Show screenshots in place of their comments.
    """
    up = "../" * docname.count("/")
    text = generate.filled(source[0])
    if above := PLACE.search(text):
        path = generate.ROOT / f"{above[1]}.md"
        app.env.note_dependency(str(path))
        text = text.replace(above[0], path.read_text().replace("](docs/", "]("))
    text = LINK.sub(lambda match: f"]({up}{ABOVE[match[1]]}.md{match[2] or ''})", text)
    text = SCREENSHOT.sub(lambda match: f"![{match[2]}](/_screenshots/{match[1]}.png)", text)
    # A pattern of a table of contents that fits no page is a warning.
    source[0] = PATTERN.sub(lambda match: match[0] if any_page(match[0].strip()) else "", text)


def any_page(pattern: str) -> bool:
    """Tell whether any page fits a pattern in a table of contents."""
    return any(generate.DOCS.glob(f"{pattern}.md"))


def write_llms(app: Any, exception: Exception | None) -> None:
    """Write llms.txt to the root of the site, with links to the site's pages."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "llms.txt").write_text(generate.llms("html"))


def setup(app: Any) -> dict[str, Any]:
    """Connect ``read`` and ``write_llms`` to Sphinx's events."""
    app.connect("source-read", read)
    app.connect("build-finished", write_llms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
