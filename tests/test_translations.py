"""Texts for people are translated. Texts for programs are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import django.conf
import django.contrib.admin
import django.contrib.auth
import polib
import pytest
import rest_framework
from django.core.management import CommandError, call_command
from django.test import modify_settings
from django.utils import timezone, translation

import twotoken
from tests.factories import PASSWORD
from tests.http import Caller
from tests.staff import CHROME, LIST, text
from twotoken import exceptions, families
from twotoken.admin.timeline import distance_label
from twotoken.clients import Client
from twotoken.models import RefreshToken, State
from twotoken.templatetags.twotoken_durations import in_words

CATALOGUES = sorted((Path(twotoken.__file__).parent / "locale").glob("*/LC_MESSAGES/django.po"))
LANGUAGES = [path.parts[-3] for path in CATALOGUES]
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|</?\w+>")


@pytest.fixture
def _accept_language() -> Iterator[None]:
    """Add LocaleMiddleware to the project. At the end, restore the language of the thread."""
    middleware = modify_settings(MIDDLEWARE={"append": "django.middleware.locale.LocaleMiddleware"})
    with middleware, translation.override(translation.get_language()):
        yield


@pytest.fixture(params=CATALOGUES, ids=LANGUAGES)
def catalogue(request: pytest.FixtureRequest) -> polib.POFile:
    """The catalogue of each language."""
    return polib.pofile(str(request.param))


def test_the_languages() -> None:
    """There are catalogues for German, Spanish and French."""
    assert LANGUAGES == ["de", "es", "fr"]


def test_a_catalogue_is_whole(catalogue: polib.POFile) -> None:
    """Every entry is translated in every plural form, and none is marked fuzzy."""
    forms = int(re.findall(r"nplurals=(\d)", catalogue.metadata["Plural-Forms"])[0])
    assert len(catalogue) > 50
    assert [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete] == []
    for entry in catalogue:
        texts = entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]
        assert len(texts) == (forms if entry.msgid_plural else 1)
        assert all(texts), entry.msgid


def test_placeholders(catalogue: polib.POFile) -> None:
    """A translation has the same placeholders and tags as its text."""
    for entry in catalogue:
        # Only the singular may leave out the number.
        wanted = sorted(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        singular = sorted(PLACEHOLDER.findall(entry.msgid))
        for form, shown in entry.msgstr_plural.items() if entry.msgid_plural else [(1, entry.msgstr)]:
            found = sorted(PLACEHOLDER.findall(shown))
            assert found == wanted or (form == 0 and found == singular), entry.msgid


def test_the_compiled_catalogue(catalogue: polib.POFile) -> None:
    """The compiled catalogue holds the same translations as the source."""
    compiled = polib.mofile(str(Path(catalogue.fpath).with_suffix(".mo")))
    assert {(entry.msgctxt, entry.msgid): (entry.msgstr, entry.msgstr_plural) for entry in compiled} == {
        (entry.msgctxt, entry.msgid): (entry.msgstr, entry.msgstr_plural) for entry in catalogue
    }


def test_every_detail_is_translated(catalogue: polib.POFile) -> None:
    """Every error that a client can receive is translated. ClaimsError appears only in the project's log."""
    classes = {value for value in vars(exceptions).values() if isinstance(value, type)} - {exceptions.ClaimsError}
    messages = {value.message for value in classes if hasattr(value, "message")}
    assert messages - {entry.msgid for entry in catalogue} == set()


def test_what_others_say_is_theirs(catalogue: polib.POFile) -> None:
    """Our catalogues leave out texts that Django and DRF translate, because their translations may improve."""
    language = Path(catalogue.fpath).parts[-3]
    packages = (django.conf, django.contrib.admin, django.contrib.auth, rest_framework)
    theirs = [Path(package.__path__[0]) / f"locale/{language}/LC_MESSAGES/django.mo" for package in packages]
    said = {(str(entry.msgctxt), entry.msgid) for path in theirs for entry in polib.mofile(str(path))}
    assert ("None", "Home") in said
    assert said & {(str(entry.msgctxt), entry.msgid) for entry in catalogue} == set()


def test_words_alone_have_a_context(catalogue: polib.POFile) -> None:
    """A text of a few words has a context. Without one, other apps' pages could show our translation."""
    ours = {"token family", "token families", "Token families", "session auth hash", "grace in seconds"}
    short = {entry.msgid for entry in catalogue if not entry.msgctxt and re.fullmatch(r"\w+( \w+){0,2}", entry.msgid)}
    assert short - ours == {"Revoke this family", "Revoke token families", "Token authentication"}


@pytest.mark.usefixtures("_accept_language")
def test_a_refusal_of_an_api_route(db: None) -> None:
    """In German only the detail of a refusal changes. Code, reason and header stay the same (ASCII by RFC 6750)."""
    response = Caller(None, mount="").get("/api/me/", HTTP_AUTHORIZATION="Bearer x", HTTP_ACCEPT_LANGUAGE="de")
    assert response.status_code == 401
    assert response.json() == {"detail": "Das Token ist ungültig.", "code": "token_not_valid", "reason": "invalid"}
    challenge = 'Bearer realm="api", error="invalid_token", error_description="The token is not valid."'
    assert response["WWW-Authenticate"] == challenge
    assert response["Content-Language"] == "de"


@pytest.mark.usefixtures("_accept_language")
def test_refusals_of_the_endpoints(script: Caller) -> None:
    """Both our refusals and those of DRF are translated."""
    german = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}
    wrong = script.send("login/", {script.user.USERNAME_FIELD: "nobody", "password": PASSWORD}, **german)
    assert wrong.json()["detail"] == "Zu den angegebenen Zugangsdaten gibt es kein aktives Konto."
    token = script.log_in(**german).json()["refresh"]
    script.refresh(token)
    reused = script.refresh(token, **german)
    assert reused.json()["detail"].startswith("Das Refresh-Token wurde schon einmal benutzt.")
    assert reused.json()["reason"] == "reused"
    assert reused["WWW-Authenticate"].isascii()
    for body, english in (({"refresh": 1}, "Not a valid string."), ({}, "This field is required.")):
        with translation.override("de"):
            of_drf = translation.gettext(english)
        assert script.send("refresh/", body, **german).json() == {"refresh": [of_drf]}
    assert script.refresh("x", key="short", **german).json()["detail"].startswith("Idempotency-Key muss aus")


@pytest.mark.usefixtures("_accept_language")
def test_the_admin(user: Any, revoker: Any) -> None:
    """With ``Accept-Language: fr`` our texts in the admin are French, and Django's own texts keep its translation."""
    french = {"HTTP_ACCEPT_LANGUAGE": "fr"}
    pair = families.start(user, Client("192.0.2.7", CHROME))
    families.rotate(families.verify(pair.refresh), Client("192.0.2.7", "curl/8"))
    listed = text(revoker.get(LIST, **french))
    for words in ("curl", "active", "dernière utilisation", "appareil", "Par état"):
        assert words.casefold() in listed.casefold()
    shown = text(revoker.get(f"{LIST}{pair.family_id}/change/", **french))
    for words in (
        "Révoquer cette famille",
        "Chronologie",
        "Début",
        "Changement d’appareil",
        "de Chrome 126 sur Windows à curl",
        "expiration sans utilisation",
    ):
        assert words.casefold() in shown.casefold()
    asked = revoker.get(f"{LIST}{pair.family_id}/revoke/", **french)
    for words in (
        "Voulez-vous vraiment révoquer 1 famille de jetons",
        "Accueil",
        "Familles de jetons",
        "15 minutes",
        "Non, revenir à la page précédente",
    ):
        assert words in text(asked)
    assert 'value="Oui, je suis sûr"' in asked.content.decode()
    done = text(revoker.post(f"{LIST}{pair.family_id}/revoke/", follow=True, **french))
    assert "1 famille de jetons révoquée." in done
    assert "révoquée révoquée par l’équipe, par" in done.lower()
    assert f"par {revoker.user.get_username()}" in done


@pytest.mark.parametrize(
    ("language", "number", "words"),
    [
        ("de", 1, "1 Tokenfamilie wurde widerrufen."),
        ("de", 2, "2 Tokenfamilien wurden widerrufen."),
        ("es", 1, "1 familia de tokens revocada."),
        ("es", 0, "0 familias de tokens revocadas."),
        ("es", 1_000_000, "1000000 de familias de tokens revocadas."),
        ("fr", 0, "0 famille de jetons révoquée."),
        ("fr", 2, "2 familles de jetons révoquées."),
    ],
)
def test_plural_forms(language: str, number: int, words: str) -> None:
    """Each language has its own plural forms."""
    with translation.override(language):
        text = translation.ngettext("Revoked %(count)d token family.", "Revoked %(count)d token families.", number)
        assert text % {"count": number} == words


@pytest.mark.parametrize(
    ("language", "state", "before", "ahead", "duration"),
    [
        ("de", "aktiv", "2 Tage her", "noch 1 Woche", "1 Stunde, 1 Sekunde"),
        ("es", "activa", "hace 2 días", "dentro de 1 semana", "1 hora, 1 segundo"),
        ("fr", "active", "il y a 2 jours", "dans 1 semaine", "1 heure, 1 seconde"),
    ],
)
def test_words_for_time(language: str, state: str, before: str, ahead: str, duration: str) -> None:
    """Numbers and units are in the order of the language. Django translates the units."""
    now = timezone.now()
    with translation.override(language):
        assert str(State.ACTIVE.label) == state
        assert before in distance_label(now - timedelta(days=2)).replace("\xa0", " ")
        assert ahead in distance_label(now + timedelta(days=7, minutes=1)).replace("\xa0", " ")
        assert in_words(timedelta(seconds=3601)) == duration


def test_others_keep_their_words() -> None:
    """In French, our "active" for a family does not change Django's "active" for a user."""
    with translation.override("fr"):
        assert (translation.gettext("active"), translation.pgettext("family", "active")) == ("actif", "active")


@pytest.mark.django_db
def test_commands_speak_the_language_of_the_project(user: Any) -> None:
    """The output and the errors of commands are translated, with durations and plural forms. Option names are not."""
    for _ in range(2):
        families.start(user)
    out = StringIO()
    with translation.override("de"):
        call_command("revoke_token_families", all=True, dry_run=True, stdout=out)
        call_command("revoke_token_families", all=True, interactive=False, stdout=out)
        call_command("unbind_token_families", all=True, dry_run=True, stdout=out)
        with pytest.raises(CommandError, match=r"^Geben Sie --all an, oder mindestens eines von --user"):
            call_command("revoke_token_families")
        with pytest.raises(CommandError, match=r"^Es gibt keinen Benutzer 'nobody'.$"):
            call_command("revoke_token_families", user="nobody")
        assert translation.get_language() == "de"
    assert out.getvalue().splitlines() == [
        "2 Tokenfamilien würden widerrufen.",
        "2 Tokenfamilien widerrufen.",
        "Schon ausgestellte Access-Tokens bleiben noch bis zu 15 Minuten gültig.",
        "0 Tokenfamilien würden von ihren Geräten gelöst.",
    ]
    assert not RefreshToken.objects.filter(revoked_at=None).exists()
