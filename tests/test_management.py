"""``manage.py generate_token_secrets``."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command
from django.test import override_settings

from twotoken import checks
from twotoken.conf import conf
from twotoken.keys import SecretKey


def generated() -> dict[str, str]:
    """Return what the command prints, as an environment file is read."""
    out = StringIO()
    call_command("generate_token_secrets", stdout=out)
    assert out.getvalue().endswith("\n")
    return dict(line.split("=", 1) for line in out.getvalue().splitlines())


def test_two_lines_for_an_environment_file() -> None:
    """Two different secrets of 256 bits, new each time, without a character that a shell would read."""
    first, second = generated(), generated()
    assert list(first) == ["JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"]
    values = [*first.values(), *second.values()]
    assert len(set(values)) == 4
    assert all(len(value) == 43 and value.replace("-", "").replace("_", "").isalnum() for value in values)


@override_settings(TWOTOKEN={})
def test_it_runs_before_anything_is_set_up() -> None:
    """The checks that would stop it name it in their hints; its output satisfies them."""
    access, refresh = generated().values()
    with override_settings(TWOTOKEN={"ACCESS_SECRET": access, "REFRESH_SECRET": refresh}):
        assert not list(checks.check_secrets(None))
        assert conf.refresh_keys.keys == (SecretKey(refresh.encode()),)
