"""Checks that the message catalogues have exactly the code's translatable texts. ``--write`` updates the catalogues.

Needs Django and the commands of GNU gettext.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "twotoken"
CATALOGUE = "locale/*/LC_MESSAGES/django.po"
LANGUAGES = sorted(path.parts[-3] for path in PACKAGE.glob(CATALOGUE))


def run(*command: str, cwd: Path = PACKAGE) -> str:
    """Run a command with English messages, and return its output. If the command fails, print its output and stop."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "en"}
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True)  # noqa: S603 - our own
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def write(package: Path) -> None:
    """Add the code's new texts to the catalogues, remove texts that the code no longer has, and compile all."""
    languages = [word for name in LANGUAGES for word in ("--locale", name)]
    # Neither lines nor wrapping: they would change with each change of the code, and with each version of gettext.
    options = ("--no-location", "--no-wrap", "--no-obsolete", "--verbosity", "0")
    run(sys.executable, "-m", "django", "makemessages", *languages, *options, cwd=package)
    for path in package.glob(CATALOGUE):
        run("msgfmt", "--check", "--output-file", str(path.with_suffix(".mo")), str(path))


def undated(text: str) -> list[str]:
    """Return the lines of a catalogue without the line that has its creation date."""
    return [line for line in text.splitlines(keepends=True) if "POT-Creation-Date" not in line]


def problems(package: Path) -> list[str]:
    """Compare the catalogues with those in ``package``, an up-to-date copy, and return what is wrong with them."""
    found = []
    for new in sorted(package.glob(CATALOGUE)):
        old = PACKAGE / new.relative_to(package)
        name = str(old.relative_to(PACKAGE.parent))
        texts = [undated(path.read_text()) for path in (old, new)]
        found.append("".join(difflib.unified_diff(*texts, name, "makemessages")))
        counts = run("msgfmt", "--check", "--statistics", "--output-file", os.devnull, str(old))
        found += [f"{name}: {count}\n" for count in re.findall(r"\d+ (?:fuzzy|untranslated)[^,.]*", counts)]
        # As text, for each version of msgfmt has bytes of its own.
        compiled = [
            undated(run("msgunfmt", "--no-wrap", str(path.with_suffix(".mo"))))
            if path.with_suffix(".mo").exists()
            else None
            for path in (old, new)
        ]
        if compiled[0] != compiled[1]:
            found.append(f"{name}: its .mo is not what msgfmt makes of it\n")
    return [text for text in found if text]


def check() -> int:
    """Print what is wrong with the catalogues, and return the number of faults."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(shutil.copytree(PACKAGE, Path(folder) / PACKAGE.name))
        write(package)
        found = problems(package)
    print("".join(found) or f"{len(LANGUAGES)} catalogues passed: {', '.join(LANGUAGES)}")
    if found:
        print("'tox -e messages -- --write' brings them up to date; what is untranslated then is for you to translate.")
    return len(found)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write(PACKAGE)
    else:
        sys.exit(check())
