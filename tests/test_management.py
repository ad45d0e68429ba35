"""``manage.py generate_token_secrets`` and ``manage.py twotoken_client``."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from twotoken import __version__, checks
from twotoken.conf import conf
from twotoken.keys import SecretKey


def generated() -> dict[str, str]:
    """Run ``generate_token_secrets``, and read its output like an environment file."""
    out = StringIO()
    call_command("generate_token_secrets", stdout=out)
    assert out.getvalue().endswith("\n")
    return dict(line.split("=", 1) for line in out.getvalue().splitlines())


def test_two_lines_for_an_environment_file() -> None:
    """Each run of ``generate_token_secrets`` prints two new 256-bit secrets, without special shell characters."""
    first, second = generated(), generated()
    assert list(first) == ["JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"]
    values = [*first.values(), *second.values()]
    assert len(set(values)) == 4
    assert all(len(value) == 43 and value.replace("-", "").replace("_", "").isalnum() for value in values)


@override_settings(TWOTOKEN={})
def test_it_runs_before_anything_is_set_up() -> None:
    """``generate_token_secrets`` runs without settings. Its secrets pass the checks and are used unchanged."""
    access, refresh = generated().values()
    with override_settings(TWOTOKEN={"ACCESS_SECRET": access, "REFRESH_SECRET": refresh}):
        assert not list(checks.check_secrets(None))
        assert conf.refresh_keys.keys == (SecretKey(refresh.encode()),)


def client(*arguments: str) -> Path:
    """Return the folder that ``twotoken_client`` prints."""
    out = StringIO()
    call_command("twotoken_client", *arguments, stdout=out)
    return Path(out.getvalue().removesuffix("\n"))


def manifest(folder: Path) -> dict[str, Any]:
    """Return the package.json of a folder."""
    content: dict[str, Any] = json.loads((folder / "package.json").read_text())
    return content


@override_settings(TWOTOKEN={})
def test_the_npm_package_is_of_the_same_release() -> None:
    """The npm package has the wheel's version and licence, and each file that it exports exists."""
    folder = client()
    package = manifest(folder)
    version = re.sub(r"(?<=\d)(a|b|rc)(?=\d)", lambda match: f"-{match[0]}.", __version__)  # npm: 1.0.0-rc.1
    assert (package["name"], package["version"]) == ("twotoken", version)
    assert (folder / "LICENSE").read_text() == (Path(__file__).parents[1] / "LICENSE").read_text()
    exported = [entry for entry in package["exports"].values() if isinstance(entry, dict)]
    names = [name.removeprefix("./") for entry in exported for name in entry.values()]
    assert sorted(names) == sorted(package["files"])
    assert [name for name in names if not (folder / name).is_file()] == []


def test_a_copy_of_the_npm_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``twotoken_client --to`` copies all files that npm would publish, replaces an older copy, and prints the path."""
    monkeypatch.chdir(tmp_path)
    target = client("--to", "vendor/twotoken")
    assert target == tmp_path / "vendor" / "twotoken"
    assert {path.name for path in target.iterdir()} == {"package.json", "LICENSE", *manifest(target)["files"]}
    (target / "client.js").write_text("older")
    assert client("--to", str(target)) == target
    assert (target / "client.js").read_bytes() == (client() / "client.js").read_bytes()


@pytest.mark.parametrize("content", ['{"name": "shop"}', "{}", "[]", "{", "\xff"])
def test_the_folder_of_another_npm_package(tmp_path: Path, content: str) -> None:
    """``twotoken_client --to`` refuses to replace a package.json that is not twotoken's, such as the front end's."""
    (tmp_path / "package.json").write_text(content, encoding="latin-1")
    with pytest.raises(CommandError, match=r"holds another package. Name a folder of its own, such as .*twotoken"):
        client("--to", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["package.json"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """If the folder can't be written, the error of ``twotoken_client --to`` says why."""
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"can't be copied to .*: .*exists"):
        client("--to", str(tmp_path / "file"))
