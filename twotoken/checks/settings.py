"""Checks of TWOTOKEN: its keys, its secrets, and values that must fit together. ``rules`` has types and ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from twotoken.checks.rules import RULES, are_fine, is_dict, values_of_project, wrong_keys
from twotoken.conf import HOST, SECURE, SETTING_NAMES, callable_of, conf
from twotoken.dpop import SUPPORTED
from twotoken.keys import MIN_SECRET_BYTES

Apps = Sequence[AppConfig] | None
LONGEST_GRACE = timedelta(minutes=1)
LONGEST_REVOCATION_INTERVAL = timedelta(minutes=1)
LONGEST_REPR = 100  # characters of a wrong value that a message shows
KEYS_HINT = (
    f"A secret for HS256 has {MIN_SECRET_BYTES} bytes or more: 'manage.py generate_token_secrets' makes two. "
    "ACCESS_ALGORITHM 'EdDSA', 'ES256' or 'RS256' needs an unencrypted private key as PEM."
)
UNSET_HINT = (
    "Most often this is a new shell that has not loaded the environment file: 'set -a; . ./.env; set +a' loads it. "
    "Only if there are no secrets yet, put the output of 'manage.py generate_token_secrets' into that file: new "
    "secrets log everybody out."
)
SECRETS_HINT = "Run 'manage.py generate_token_secrets' and put its two lines into the environment."


def check_shape(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E001: TWOTOKEN must be a dict.

    E002: every key of TWOTOKEN must be one of twotoken's settings.

    E003: every value must have the right type and range.
    """
    value = getattr(settings, "TWOTOKEN", {})
    if not isinstance(value, dict):
        yield Error(
            "TWOTOKEN must be a dict.", hint="See the page on settings in the documentation.", id="twotoken.E001"
        )
        return
    for key in value:
        if key not in SETTING_NAMES:
            known = f"The keys are {', '.join(sorted(SETTING_NAMES))}."
            close = get_close_matches(str(key).upper(), SETTING_NAMES, n=1)
            hint = f"Did you mean {close[0]!r}? {known}" if close else known
            yield Error(f"TWOTOKEN has no key {key!r}.", hint=hint, id="twotoken.E002")
    yield from (
        Error(
            f"TWOTOKEN[{key!r}] is wrong: {repr(value[key])[:LONGEST_REPR]}.",
            hint=f"It must be {RULES[key][0]}.",
            id="twotoken.E003",
        )
        for key in wrong_keys(value)
    )


def check_secrets(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E004: ACCESS_SECRET and REFRESH_SECRET must be set, each to a string or a list of strings.

    E005: every secret must be strong enough and fit its algorithm. The first secret of a list must be able to sign.

    E006: ACCESS_SECRET, REFRESH_SECRET and Django's SECRET_KEY must differ.
    """
    if not is_dict():
        return
    found: dict[str, tuple[str, ...]] = {}
    for key, keys in (("ACCESS_SECRET", "access_keys"), ("REFRESH_SECRET", "refresh_keys")):
        try:
            found[key] = getattr(conf, key.lower())
        except ImproperlyConfigured as exc:
            if values_of_project().get(key) is None:
                yield Error(str(exc), hint=UNSET_HINT, id="twotoken.E004")
            else:
                yield Error(str(exc), hint=SECRETS_HINT, id="twotoken.E004")
            continue
        if not are_fine("ACCESS_ALGORITHM"):
            continue
        try:
            problem = getattr(conf, keys).signing_problem
        except ImproperlyConfigured as exc:
            yield Error(str(exc), hint=KEYS_HINT, id="twotoken.E005")
            continue
        if problem:
            yield Error(
                f"TWOTOKEN[{key!r}]: {problem}.",
                hint="A service that only verifies uses twotoken.remote, without 'twotoken' in INSTALLED_APPS. "
                f"{KEYS_HINT}",
                id="twotoken.E005",
            )
    access, refresh = (set(found.get(key, ())) for key in ("ACCESS_SECRET", "REFRESH_SECRET"))
    if access & refresh or settings.SECRET_KEY in access | refresh:
        yield Error(
            "ACCESS_SECRET, REFRESH_SECRET and SECRET_KEY must be different.", hint=SECRETS_HINT, id="twotoken.E006"
        )


def check_proofs(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E017: if DPOP is set to 'optional' or 'required', the package cryptography must be installed."""
    if "DPOP" not in values_of_project() or not are_fine("DPOP") or conf.dpop == "off":
        return
    missing = [] if SUPPORTED else ["cryptography"]
    yield from (
        Error(
            f"TWOTOKEN['DPOP'] is {conf.dpop!r}, but the package {package} is not installed.",
            hint="No proof can be verified without it: pip install 'twotoken[crypto]'.",
            id="twotoken.E017",
        )
        for package in missing
    )


def check_lifetimes(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E007: ACCESS_LIFETIME must not be longer than REFRESH_LIFETIME."""
    if are_fine("ACCESS_LIFETIME", "REFRESH_LIFETIME") and conf.access_lifetime > conf.refresh_lifetime:
        yield Error(
            "TWOTOKEN['ACCESS_LIFETIME'] is longer than REFRESH_LIFETIME.",
            hint="An access token can't be revoked, so let it live for minutes only.",
            id="twotoken.E007",
        )


def check_revocation_interval(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E016: REVOCATION_INTERVAL must be shorter than ACCESS_LIFETIME.

    W013: REVOCATION_INTERVAL must be a minute or less.
    """
    if not are_fine("REVOCATION_INTERVAL", "ACCESS_LIFETIME") or conf.revocation_interval is None:
        return
    if conf.revocation_interval >= conf.access_lifetime:
        yield Error(
            "TWOTOKEN['REVOCATION_INTERVAL'] is not shorter than ACCESS_LIFETIME.",
            hint="By the time that a revocation is read, the access token has expired. Use seconds.",
            id="twotoken.E016",
        )
    elif conf.revocation_interval > LONGEST_REVOCATION_INTERVAL:
        yield Warning(
            "TWOTOKEN['REVOCATION_INTERVAL'] is longer than a minute.",
            hint="For that time a revoked family's access tokens are still accepted. A query every few seconds costs "
            "next to nothing.",
            id="twotoken.W013",
        )


def check_cookie(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E008: if COOKIE_SAMESITE is 'None', COOKIE_SECURE must be True.

    E009: if the cookie's name has a prefix, the cookie must have the attributes that the prefix requires (RFC 6265bis).
    """
    if not are_fine("COOKIE_NAME", "COOKIE_PATH", "COOKIE_DOMAIN", "COOKIE_SAMESITE", "COOKIE_SECURE"):
        return
    if conf.cookie_samesite == "None" and not conf.cookie_secure:
        yield Error(
            "TWOTOKEN['COOKIE_SAMESITE'] is 'None' without COOKIE_SECURE.",
            hint="Browsers drop such a cookie. Set COOKIE_SECURE to True.",
            id="twotoken.E008",
        )
    name = conf.cookie_name.lower()  # browsers ignore the case of a prefix
    is_host = name.startswith(HOST.lower())
    if (is_host and (not conf.cookie_secure or conf.cookie_path != "/" or conf.cookie_domain)) or (
        name.startswith(SECURE.lower()) and not conf.cookie_secure
    ):
        yield Error(
            f"Browsers drop a cookie named {conf.cookie_name!r} with these attributes.",
            hint="__Secure- needs COOKIE_SECURE. __Host- needs COOKIE_SECURE, COOKIE_PATH '/' and no COOKIE_DOMAIN. "
            "With COOKIE_NAME None the prefix always fits.",
            id="twotoken.E009",
        )


def check_claims(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E011: if ACCESS_CLAIMS is set, it must be the dotted path of a callable."""
    path = values_of_project().get("ACCESS_CLAIMS")
    if path is None or not are_fine("ACCESS_CLAIMS"):
        return
    try:
        found = import_string(path)
    except ImportError as exc:
        yield Error(f"TWOTOKEN['ACCESS_CLAIMS']: {exc}", hint="Give a dotted path.", id="twotoken.E011")
    else:
        if not callable(found):
            yield Error(
                "TWOTOKEN['ACCESS_CLAIMS'] is not callable.",
                hint="It is called with the user and the token family.",
                id="twotoken.E011",
            )


def check_issuer(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """E013: if ISSUER or AUDIENCE is a dotted path, the path must lead to a callable."""
    for key in ("ISSUER", "AUDIENCE"):
        try:
            callable_of_fine(key)
        except ImproperlyConfigured as exc:
            yield Error(
                str(exc),
                hint="Give the dotted path of a callable. If the value is a name, not a path, write it as a URL: https://…",
                id="twotoken.E013",
            )


def check_graces(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W002: BROWSER_GRACE, REUSE_GRACE and LEEWAY must each be a minute or less."""
    for key in ("BROWSER_GRACE", "REUSE_GRACE", "LEEWAY"):
        if are_fine(key) and getattr(conf, key.lower()) > LONGEST_GRACE:
            yield Warning(
                f"TWOTOKEN[{key!r}] is longer than a minute.",
                hint="During this time a stolen token is accepted like one that its owner sends late. Use seconds.",
                id="twotoken.W002",
            )


def check_deployed_cookie(app_configs: Apps, **kwargs: Any) -> Iterator[CheckMessage]:
    """W004: COOKIE_SECURE must be True, so that browsers send the cookie over https only.

    W005: COOKIE_DOMAIN must be None, so that only one host gets the cookie.
    """
    if are_fine("COOKIE_SECURE") and not conf.cookie_secure:
        yield Warning(
            "TWOTOKEN['COOKIE_SECURE'] is off.",
            hint="The network can read the refresh token. Serve the site over https and set it to True.",
            id="twotoken.W004",
        )
    if are_fine("COOKIE_DOMAIN") and conf.cookie_domain:
        yield Warning(
            "TWOTOKEN['COOKIE_DOMAIN'] sends the refresh token to every subdomain, and each of them can replace it.",
            hint="Leave it None if only one host refreshes. Otherwise you have to trust every host below that domain.",
            id="twotoken.W005",
        )


def callable_of_fine(key: str) -> Callable[[], object] | None:
    """Return the callable of a setting, as ``callable_of`` does. If the setting's value is invalid, return None."""
    return callable_of(key) if are_fine(key) else None
