"""The OpenAPI description that drf-spectacular makes of a project with twotoken."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import override_settings
from django.urls import include, path
from django.utils import translation
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings, spectacular_settings
from drf_spectacular.utils import extend_schema
from drf_spectacular.validation import validate_schema
from rest_framework import serializers
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from tests.conformance.helpers import bearer
from tests.factories import PASSWORD
from tests.http import Caller
from tests.overrides import with_settings
from tests.test_keys import ASYMMETRIC, TEXTS
from tests.test_sessions import paginated
from twotoken import exceptions, families, responses, urls
from twotoken.authentication import StatelessAccessTokenAuthentication
from twotoken.contrib.simplejwt.views import ExchangeView
from twotoken.exceptions import NoActiveAccount, TokenNotValid
from twotoken.permissions import RecentLogin
from twotoken.serializers import LoginSerializer
from twotoken.views import IDEMPOTENCY_KEY, LoginView, LogoutView, ReauthenticateView, RefreshView, TokenView

COOKIE, BODY, NONE = "/api/auth/", "/api/app/auth/", "/api/tool/auth/"
MOUNTS = [COOKIE, BODY, NONE]


def generate(**options: Any) -> Any:
    """Return the OpenAPI description, which must be valid and cause no warning."""
    with GENERATOR_STATS.silence():
        made = SchemaGenerator(**options).get_schema(public=True)
    assert not GENERATOR_STATS, {**GENERATOR_STATS._warn_cache, **GENERATOR_STATS._error_cache}
    validate_schema(made)
    return made


def cookie_mount() -> Any:
    """Return the OpenAPI description of a project that has only a cookie mount."""
    return generate(patterns=[path("api/auth/", include("twotoken.urls"))])


@pytest.fixture(scope="module")
def described() -> Any:
    """The OpenAPI description of the tests' project, which has a mount for each delivery."""
    return generate()


def operations(described: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield path, method and operation of each of our endpoints."""
    for route, methods in described["paths"].items():
        for method, operation in methods.items():
            if "/auth/" in route:
                yield route, method, operation


def content(described: Any, answer: Any) -> Any:
    """Return the JSON schema of an answer's body, with its references resolved."""
    schema = {**answer["content"]["application/json"]["schema"], "components": described["components"]}
    return json.loads(json.dumps(schema), object_hook=nullable)


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn OpenAPI 3.0's ``nullable`` into JSON Schema."""
    return {**schema, "type": [schema["type"], "null"]} if schema.get("nullable") else schema


def parameters(described: Any, route: str, method: str = "post") -> list[Any]:
    """Return the described parameters of a request."""
    found: list[Any] = described["paths"][route][method].get("parameters", [])
    return found


def headers(answer: Any) -> dict[str, bool]:
    """Return the described headers of an answer, and whether each is required."""
    return {name: value.get("required", False) for name, value in answer.get("headers", {}).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"OAS_VERSION": "3.1.0"},
        {"COMPONENT_SPLIT_REQUEST": True},
        {"CAMELIZE_NAMES": True},
        {"SCHEMA_PATH_PREFIX": ""},
        {"POSTPROCESSING_HOOKS": []},
    ],
)
def test_every_setting_of_drf_spectacular(values: dict[str, Any]) -> None:
    """With each of these settings of drf-spectacular the description is valid, and there is no warning."""
    with patched_settings(values):
        assert cookie_mount()["components"]["schemas"]


STATUSES = {
    ("login/", "post"): ({200, 400, 401, 415, 429, 503}, {403}),
    ("refresh/", "post"): ({200, 400, 401, 429, 503}, {403}),
    ("reauthenticate/", "post"): ({200, 400, 401, 415, 429, 503}, {403}),
    ("logout/", "post"): ({204, 503}, {403}),
    ("logout/all/", "post"): ({204, 401, 503}, set()),
    ("sessions/", "get"): ({200, 401, 503}, set()),
    ("sessions/", "delete"): ({204, 401, 503}, set()),
    ("sessions/{family_id}/", "delete"): ({204, 401, 404, 503}, set()),
}


@pytest.mark.parametrize("mount", MOUNTS)
def test_every_endpoint_with_every_status(described: Any, mount: str) -> None:
    """The statuses follow the delivery: 403 for cookies, 415 for bodies. The delivery ``none`` has no refresh/."""
    found = {
        (route.removeprefix(mount), method): set(map(int, operation["responses"]))
        for route, method, operation in operations(described)
        if route.startswith(mount)
    }
    expected = {
        key: always | (by_cookie if mount == COOKIE else set()) for key, (always, by_cookie) in STATUSES.items()
    }
    if mount == BODY:
        expected["refresh/", "post"].add(415)
        expected["logout/", "post"] |= {400, 401, 415}
    if mount == NONE:
        expected["logout/", "post"].add(401)
        del expected["refresh/", "post"]
    assert found == expected


def test_operation_ids_are_unique(described: Any) -> None:
    """Operation ids are unique: each mount has its own, and the two DELETEs of sessions differ."""
    ids = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(ids) == len(set(ids)) == 3 * len(STATUSES) - 1
    assert {"auth_refresh", "app_auth_refresh", "tool_auth_sessions_destroy_others"} <= set(ids)


def test_bodies_by_delivery(described: Any) -> None:
    """The refresh token is only in the bodies of the body mount."""
    bodies = {
        (route, operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2])
        for route, _, operation in operations(described)
        if route.endswith(("login/", "refresh/"))
    }
    assert bodies == {
        (COOKIE + "login/", "TwoTokenAccess"),
        (COOKIE + "refresh/", "TwoTokenAccess"),
        (BODY + "login/", "TwoTokenPair"),
        (BODY + "refresh/", "TwoTokenPair"),
        (NONE + "login/", "TwoTokenAccess"),
    }
    paths = described["paths"]
    assert "requestBody" not in paths[COOKIE + "refresh/"]["post"]
    assert paths[BODY + "refresh/"]["post"]["requestBody"]["required"] is True
    assert "required" not in paths[BODY + "logout/"]["post"]["requestBody"]
    for name in ("login/", "refresh/", "logout/"):
        types = set(paths[BODY + name]["post"]["requestBody"]["content"])
        assert types == {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
    assert set(paths[COOKIE + "login/"]["post"]["requestBody"]["content"]) == {"application/json"}


def test_the_user_name_is_the_project_s(described: Any) -> None:
    """A login is described with the user model's USERNAME_FIELD, also in the example."""
    media = described["paths"][BODY + "login/"]["post"]["requestBody"]["content"]["application/json"]
    name = get_user_model().USERNAME_FIELD
    assert set(described["components"]["schemas"]["TwoTokenLogin"]["required"]) == {name, "password"}
    assert set(media["examples"]["Credentials"]["value"]) == {name, "password"}


def test_security(described: Any) -> None:
    """Our authentication classes share their security schemes. Endpoints that read a cookie have a cookie scheme."""
    assert described["components"]["securitySchemes"]["jwtAuth"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    paths = described["paths"]
    for route in ("/api/me/", "/api/stateless/", "/api/revocable/", COOKIE + "sessions/", NONE + "sessions/"):
        assert paths[route]["get"]["security"] == [{"jwtAuth": []}, {"dpopAuth": []}]
    assert [paths[mount + "login/"]["post"]["security"] for mount in MOUNTS] == [[{}]] * 3
    assert [paths[mount + "refresh/"]["post"]["security"] for mount in (COOKIE, BODY)] == [
        [{"refreshCookie": [], "refreshCookie_sid_twotoken": []}],
        [{}],
    ]
    assert [paths[mount + "logout/"]["post"]["security"] for mount in MOUNTS] == [
        [{"refreshCookie": []}, {}],
        [{"jwtAuth": []}, {"dpopAuth": []}, {}],
        [{"jwtAuth": []}, {"dpopAuth": []}],
    ]


def test_the_cookie_s_name_is_the_setting_s() -> None:
    """The security scheme of the cookie has the cookie's name from the settings."""
    with with_settings(COOKIE_NAME="__Secure-refresh"):
        scheme = cookie_mount()["components"]["securitySchemes"]["refreshCookie"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", "__Secure-refresh")


def test_a_refresh_needs_both_cookies(described: Any, user: Any) -> None:
    """A refresh with both described cookies works. With only one of them it is refused."""
    schemes = described["components"]["securitySchemes"]
    (needed,) = described["paths"][COOKIE + "refresh/"]["post"]["security"]
    caller = Caller(user, mount=COOKIE)
    caller.log_in()
    names = {schemes[key]["name"] for key in needed}
    assert (names, {schemes[key]["in"] for key in needed}) == (set(caller.cookies), {"cookie"})
    for name in names:
        kept = caller.cookies.pop(name)
        assert caller.refresh().status_code == 401
        caller.cookies[name] = kept
    assert caller.refresh().status_code == 200


def test_the_urls_of_the_move_from_simplejwt(user: Any) -> None:
    """The URLs of contrib.simplejwt are described without a warning, and the answers fit the description."""
    move = {
        "SIGNING_KEY": "the key of an old project, and long enough for it",
        "UNTIL": datetime.max.replace(tzinfo=UTC),
    }
    patterns: Any = (
        path("api/token/", include("twotoken.contrib.simplejwt.urls")),
        path("api/auth/exchange/", ExchangeView.as_view()),
        path("api/auth/exchange/cookie/", ExchangeView.as_view(old_cookie="old")),
        path("api/app/exchange/", ExchangeView.as_view(delivery="body")),
        path("api/auth/", include("twotoken.urls")),
    )
    with override_settings(ROOT_URLCONF=patterns, TWOTOKEN_SIMPLEJWT=move):
        described = generate(patterns=patterns)
        client = APIClient()

        def hold(path: str, data: Any, status: int) -> Any:
            response = client.post(path, data, format="json")
            assert response.status_code == status
            answer_of(described, "", path, response)
            return response

        pair = hold("/api/token/", {user.USERNAME_FIELD: user.get_username(), "password": PASSWORD}, 200).json()
        hold("/api/token/refresh/", {"refresh": "x"}, 401)
        for token, status in ((pair["refresh"], 200), (pair["access"], 200), ("x", 401), (7, 400)):
            hold("/api/token/verify/", {"token": token}, status)
        hold("/api/token/blacklist/", {}, 400)
        hold("/api/token/blacklist/", {"refresh": pair["refresh"]}, 200)
        for route in ("/api/auth/exchange/", "/api/app/exchange/"):
            hold(route, {"refresh": "x"}, 401)
            hold(route, {}, 400)
    paths = described["paths"]
    required = {
        route: operation["post"]["requestBody"].get("required", False)
        for route, operation in paths.items()
        if "requestBody" in operation.get("post", {})
    }
    assert [route for route in required if not required[route]] == ["/api/auth/exchange/cookie/"]
    assert {"/api/auth/exchange/", "/api/token/verify/", "/api/token/blacklist/"} < set(required)
    for route in ("/api/auth/exchange/", "/api/app/exchange/", "/api/token/blacklist/", "/api/token/verify/"):
        assert paths[route]["post"]["security"] == [{}]


def test_where_there_is_no_companion_cookie() -> None:
    """A refresh is described without the companion cookie if the cookie is host-wide or the path has a variable."""

    def needed(*patterns: Any) -> set[str]:
        with override_settings(ROOT_URLCONF=patterns):
            made = generate(patterns=patterns)
        return {
            key
            for route, operation in made["paths"].items()
            if route.endswith("refresh/")
            for key in operation["post"]["security"][0]
        }

    mount: Any = include("twotoken.urls")
    assert needed(path("auth/", mount)) == {"refreshCookie", "refreshCookie_sid_twotoken"}
    assert needed(path("<str:tenant>/auth/", mount)) == {"refreshCookie"}
    assert needed(path("refresh/", RefreshView.as_view())) == {"refreshCookie"}
    with with_settings(COOKIE_PATH="/"):
        assert needed(path("auth/", mount)) == {"refreshCookie"}
    with override_settings(ROOT_URLCONF=()):
        made = generate(patterns=[path("auth/", mount)])
    assert made["paths"]["/auth/refresh/"]["post"]["security"] == [{"refreshCookie": []}]


def test_headers(described: Any) -> None:
    """Each 401 has a challenge, each 429 and 503 has Retry-After, and only cookie mounts have Set-Cookie."""
    cookies = {}
    for route, method, operation in operations(described):
        for code, answer in operation["responses"].items():
            expected = {"401": {"WWW-Authenticate": True}, "429": {"Retry-After": True}, "503": {"Retry-After": True}}
            found = headers(answer)
            if "Set-Cookie" in found:
                cookies[route.removeprefix(COOKIE), method, code] = found.pop("Set-Cookie")
            assert found == expected.get(code, {})
    assert cookies == {
        ("login/", "post", "200"): True,
        ("refresh/", "post", "200"): False,
        ("refresh/", "post", "401"): False,
        ("logout/", "post", "204"): True,
        ("logout/all/", "post", "204"): True,
        ("sessions/{family_id}/", "delete", "204"): False,
    }


def test_the_idempotency_key(described: Any) -> None:
    """A refresh is described with the header Idempotency-Key, and with the pattern that is checked."""
    for mount in (COOKIE, BODY):
        (key,) = (each for each in parameters(described, mount + "refresh/") if each["name"] != "DPoP")
        assert (key["name"], key["in"], key.get("required", False)) == ("Idempotency-Key", "header", False)
        assert IDEMPOTENCY_KEY.pattern in key["schema"]["pattern"]


def codes(operation: Any, status: str) -> set[str]:
    """Return the codes of our errors with this status."""
    examples = operation["responses"].get(status, {}).get("content", {}).get("application/json", {}).get("examples", {})
    return {example["value"]["code"] for example in examples.values()}


PROOF_CODES = {exceptions.InvalidProof.code, exceptions.NonceRequired.code}


def test_proofs(described: Any) -> None:
    """A DPoP proof is described as optional. A bad proof is a 400 at endpoints, and a 401 with an access token."""
    assert described["components"]["securitySchemes"]["dpopAuth"]["scheme"] == "dpop"
    paths = described["paths"]
    alone = [COOKIE + "login/", BODY + "login/", NONE + "login/", COOKIE + "refresh/", BODY + "refresh/"]
    beside = [COOKIE + "logout/all/", BODY + "logout/", NONE + "logout/", COOKIE + "reauthenticate/"]
    for route in [*alone, *beside]:
        (proof,) = (each for each in parameters(described, route) if each["name"] == "DPoP")
        assert (proof["in"], proof.get("required", False)) == ("header", False)
        status, other = ("400", "401") if route in alone else ("401", "400")
        assert codes(paths[route]["post"], status) >= PROOF_CODES
        # reauthenticate/ also reads the proof itself, before it counts a guess: then a bad one is a 400.
        assert bool(codes(paths[route]["post"], other) & PROOF_CODES) == route.endswith("reauthenticate/")
        assert "DPoP-Nonce" not in headers(paths[route]["post"]["responses"][status])
    assert not [each for each in parameters(described, COOKIE + "logout/") if each["name"] == "DPoP"]
    schemas = described["components"]["schemas"]
    assert schemas["TwoTokenTokenType"]["enum"] == ["DPoP", "Bearer"]
    for name in ("TwoTokenPair", "TwoTokenAccess"):
        assert schemas[name]["properties"]["token_type"] == {"$ref": "#/components/schemas/TwoTokenTokenType"}
        assert "token_type" not in schemas[name]["required"]


@pytest.mark.parametrize(
    ("values", "has_scheme", "has_proofs", "has_nonces"),
    [
        ({"DPOP": "off"}, False, False, False),
        ({"DPOP_ACCESS": False}, False, True, False),
        ({"DPOP_NONCE": True}, True, True, True),
    ],
)
def test_proofs_by_the_settings(values: Any, has_scheme: bool, has_proofs: bool, has_nonces: bool) -> None:
    """With DPOP off nothing about proofs is described. With DPOP_ACCESS off the security scheme is left out."""
    with with_settings(**values):
        made = cookie_mount()
    login = made["paths"]["/api/auth/login/"]["post"]
    assert ("dpopAuth" in made["components"]["securitySchemes"]) is has_scheme
    assert ("token_type" in made["components"]["schemas"]["TwoTokenAccess"]["properties"]) is has_proofs
    assert bool(codes(login, "400") & PROOF_CODES) is has_proofs
    assert [each["name"] for each in login.get("parameters", [])] == (["DPoP"] if has_proofs else [])
    assert [headers(login["responses"][status]).get("DPoP-Nonce") for status in ("200", "400")] == (
        [False] * 2 if has_nonces else [None] * 2
    )


def test_codes_and_reasons_are_the_exceptions_own(described: Any) -> None:
    """Every code and reason of our exceptions is described, and each code has an example with its status."""
    schemas = described["components"]["schemas"]
    reasons = {error.reason for error in vars(exceptions).values() if hasattr(error, "reason")}
    assert reasons <= set(schemas["TwoTokenReason"]["enum"])  # other tests add some of their own
    assert set(responses.STATUS_CODES) < set(schemas["TwoTokenErrorCode"]["enum"])
    told = {
        (status, example["value"].get("code"))
        for _, _, operation in operations(described)
        for status, answer in operation["responses"].items()
        for example in answer.get("content", {}).get("application/json", {}).get("examples", {}).values()
    }
    step_up = exceptions.InsufficientUserAuthentication.code  # only with STEP_UP_SESSIONS
    assert {(str(status), code) for code, status in responses.STATUS_CODES.items() if code != step_up} < told


def fits_twice(value: Any) -> bool:
    """Tell whether an example shows a refused proof. At reauthenticate/ a refused proof can be a 400 or a 401."""
    return isinstance(value, dict) and value.get("code") in PROOF_CODES


def test_examples_are_as_described(described: Any) -> None:
    """Each example is valid for its own status only. A refused proof at reauthenticate/ is valid for two."""
    tried = 0
    for _, _, operation in operations(described):
        answers = [answer for answer in operation["responses"].values() if "content" in answer]
        for answer in answers:
            for example in answer["content"]["application/json"].get("examples", {}).values():
                validators = {
                    id(other): jsonschema.Draft202012Validator(content(described, other)) for other in answers
                }
                fitting = [key for key, validator in validators.items() if validator.is_valid(example["value"])]
                assert id(answer) in fitting
                # reauthenticate/ answers a bad proof with 400 or 401, and with the same body.
                is_twice = operation["operationId"].endswith("reauthenticate") and fits_twice(example["value"])
                assert len(fitting) == (2 if is_twice else 1)
                tried += 1
    assert tried > 60


def test_it_is_translated() -> None:
    """The description is in the active language, including DRF's texts."""
    with translation.override("de"):
        login = cookie_mount()["paths"][COOKIE + "login/"]["post"]
    assert login["summary"] == "Anmelden"
    assert login["description"].endswith("Das Refresh-Token steht in einem Cookie, das kein Skript lesen kann.")
    assert login["responses"]["429"]["description"] == "Die Anfrage wurde gedrosselt."


def answer_of(described: Any, mount: str, path: str, response: Any) -> None:
    """Check an answer against its description."""
    answer = described["paths"][mount + path][response.request["REQUEST_METHOD"].lower()]["responses"][
        str(response.status_code)
    ]
    assert {name for name, required in headers(answer).items() if required} <= {
        *response.headers,
        *cookie_header(response),
    }
    assert set(cookie_header(response)) <= set(headers(answer))
    if "content" in answer:
        jsonschema.validate(response.json(), content(described, answer))
    else:
        assert not response.content


def cookie_header(response: Any) -> list[str]:
    """Return the header's name if an answer sets a cookie."""
    return ["Set-Cookie"] if response.cookies else []


@pytest.mark.parametrize("mount", MOUNTS)
def test_answers_are_as_described(described: Any, user: Any, mount: str) -> None:
    """Answers of the running service, good and bad, are valid for the description."""
    caller = Caller(user, mount=mount)

    def hold(path: str, response: Any, status: int, template: str = "") -> Any:
        assert response.status_code == status, response.content
        answer_of(described, mount, template or path, response)
        return response

    login = hold("login/", caller.log_in(), 200).json()
    hold("login/", caller.send("login/", {}), 400)
    hold("login/", caller.post(mount + "login/", "{", content_type="application/json"), 400)
    hold("login/", caller.post(mount + "login/", "x", content_type="text/plain"), 415)
    hold("login/", caller.send("login/", {user.USERNAME_FIELD: "nobody", "password": PASSWORD}), 401)
    with with_settings(LOGIN_THROTTLE="1/min"):
        hold("login/", caller.log_in(), 200)
        hold("login/", caller.log_in(), 429)
    if mount == COOKIE:
        hold("login/", caller.log_in(HTTP_SEC_FETCH_SITE="cross-site"), 403)
        hold("refresh/", caller.refresh(HTTP_SEC_FETCH_SITE="cross-site"), 403)
        hold("logout/", caller.send("logout/", HTTP_SEC_FETCH_SITE="cross-site"), 403)
    if mount != NONE:
        token = caller.cookie if mount == COOKIE else login["refresh"]
        hold("refresh/", caller.refresh(token, key="short"), 400)
        with with_settings(REFRESH_THROTTLE="1/min"):
            hold("refresh/", caller.refresh(token), 200)
            hold("refresh/", caller.refresh(token), 429)
        hold("refresh/", caller.refresh(token), 401)
        hold("refresh/", caller.refresh("rubbish"), 401)
    if mount == BODY:
        hold("refresh/", caller.send("refresh/", {}), 400)
        hold("refresh/", caller.post(mount + "refresh/", "x", content_type="text/plain"), 415)
    access = caller.log_in().json()["access"]
    hold("reauthenticate/", caller.send("reauthenticate/", {"password": PASSWORD}, **bearer(access)), 200)
    hold("reauthenticate/", caller.send("reauthenticate/", {"password": "wrong"}, **bearer(access)), 401)
    hold("reauthenticate/", caller.send("reauthenticate/", {"password": PASSWORD}), 401)
    hold("reauthenticate/", caller.send("reauthenticate/", {}, **bearer(access)), 400)
    hold("sessions/", caller.get(mount + "sessions/", **bearer(access)), 200)
    hold("sessions/", caller.get(mount + "sessions/"), 401)
    hold("sessions/", caller.delete(mount + "sessions/", **bearer(access)), 204)
    one = "sessions/{family_id}/"
    hold("", caller.delete(f"{mount}sessions/{user.pk}/", **bearer(access)), 404, one)
    own = caller.get(mount + "sessions/", **bearer(access)).json()[0]["id"]
    hold("", caller.delete(f"{mount}sessions/{own}/", **bearer(access)), 204, one)
    hold("", caller.delete(f"{mount}sessions/{own}/", **bearer(access)), 401, one)
    hold("logout/all/", caller.send("logout/all/", **bearer(caller.log_in().json()["access"])), 204)
    hold("logout/all/", caller.send("logout/all/", **bearer(access)), 401)
    if mount == BODY:
        hold("logout/", caller.send("logout/"), 400)
        hold("logout/", caller.post(mount + "logout/", "x", content_type="text/plain"), 415)
    if mount != COOKIE:
        hold("logout/", caller.send("logout/", **bearer("rubbish")), 401)
    if mount == NONE:
        hold("logout/", caller.send("logout/"), 401)
    hold("logout/", caller.send("logout/", **bearer(access)), 204)


@pytest.mark.parametrize("name", ["Pages", "Limits", "Cursors"])
def test_sessions_by_page(name: str, user: Any) -> None:
    """The project's pagination is described: parameters, envelope and 404."""
    with paginated(name):
        described = cookie_mount()
        operation = described["paths"][COOKIE + "sessions/"]["get"]
        assert operation["parameters"]
        assert "PaginatedTwoTokenSessionList" in content(described, operation["responses"]["200"])["$ref"]
        access = Caller(user, mount=COOKIE).log_in().json()["access"]
        caller = Caller(user, mount=COOKIE)
        answer = caller.get(COOKIE + "sessions/", **bearer(access))
        assert answer.json()["results"]
        answer_of(described, COOKIE, "sessions/", answer)
        if name != "Limits":
            lost = caller.get(COOKIE + "sessions/?page=9&cursor=9", **bearer(access))
            assert lost.status_code == 404
            answer_of(described, COOKIE, "sessions/", lost)


class RememberSerializer(LoginSerializer):
    """A login form with a checkbox."""

    remember = serializers.BooleanField(default=False)
    device = serializers.CharField(required=False)


class RememberView(LoginView):
    serializer_class = RememberSerializer


class SaidView(LogoutView):
    """Says good-bye."""


class CodeSerializer(serializers.Serializer[Any]):
    """A serializer that a decorator names as the body of a request."""

    code = serializers.CharField()


class DecoratedView(LoginView):
    @extend_schema(request=CodeSerializer, summary="By code")
    def post(self, request: Request, **kwargs: Any) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called

    @extend_schema(responses=CodeSerializer)
    def get(self, request: Request, **kwargs: Any) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called


class OwnSchema(AutoSchema):
    """A project's own schema class."""

    def get_tags(self) -> list[str]:
        return ["own"]

    def get_summary(self) -> str:
        return f"Our {super().get_summary()}"


class TaggedView(LoginView):
    schema = OwnSchema()


@extend_schema(description="All of it.", tags=["all"])
class WholeView(LoginView):
    """A view with the decorator on the class."""


class OtherView(TokenView):
    """A project's own view with our base class."""

    serializer_class = CodeSerializer

    def post(self, request: Request, **kwargs: Any) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called


class StrictAuthentication(StatelessAccessTokenAuthentication):
    """A project's own authentication class."""


class RouteView(APIView):
    """A route of the project."""

    authentication_classes = [StrictAuthentication, StatelessAccessTokenAuthentication]
    serializer_class = CodeSerializer

    def get(self, request: Request) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called


def whole(*patterns: Any) -> Any:
    """Return the description of a project with these URLs."""
    with override_settings(ROOT_URLCONF=patterns):
        return generate(patterns=patterns)


def of(*patterns: Any) -> Any:
    """Return the paths in the description of a project with these URLs."""
    return whole(*patterns)["paths"]


def test_a_subclass_shows_what_it_overrides() -> None:
    """The description has what a subclass overrides: the serializer or the docstring. All else is as for our view."""
    by_code = path("c/", ReauthenticateView.as_view(serializer_class=CodeSerializer))
    made = whole(path("a/login/", RememberView.as_view()), path("b/logout/", SaidView.as_view()), by_code)
    fields = {get_user_model().USERNAME_FIELD, "password", "remember", "device"}
    assert set(made["components"]["schemas"]["Remember"]["properties"]) == fields
    paths = made["paths"]
    login = paths["/a/login/"]["post"]
    media = login["requestBody"]["content"]["application/json"]
    assert media == {"schema": {"$ref": "#/components/schemas/Remember"}}
    assert login["description"].startswith("Exchanges credentials")
    assert set(login["responses"]) == {"200", "400", "401", "403", "415", "429", "503"}
    assert paths["/b/logout/"]["post"]["description"] == "Says good-bye."
    media = paths["/c/"]["post"]["requestBody"]["content"]["application/json"]
    assert media == {"schema": {"$ref": "#/components/schemas/Code"}}


def test_decorators_come_first() -> None:
    """``@extend_schema`` on a method or class overrides our description. An added method keeps its own description."""
    paths = of(path("code/", DecoratedView.as_view()), path("whole/", WholeView.as_view()))
    code = paths["/code/"]["post"]
    assert code["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Code"}
    assert (code["summary"], set(code["responses"])) == ("By code", {"200", "400", "401", "403", "415", "429", "503"})
    assert "Set-Cookie" in code["responses"]["200"]["headers"]
    assert set(paths["/code/"]["get"]["responses"]) == {"200"}
    all_of_it = paths["/whole/"]["post"]
    assert (all_of_it["description"], all_of_it["summary"], all_of_it["tags"]) == ("All of it.", "Log in", ["all"])
    assert "429" in all_of_it["responses"]


def test_a_project_s_own_schema_class_comes_first() -> None:
    """A project's schema class, on a view or as DRF's default, overrides ours, and can call ours by ``super``."""
    patterns = (path("tagged/", TaggedView.as_view()),)
    (tagged,) = of(*patterns).values()
    with override_settings(REST_FRAMEWORK={"DEFAULT_SCHEMA_CLASS": "tests.test_spectacular.OwnSchema"}):
        (default,) = of(path("login/", LoginView.as_view())).values()
    for operation in (tagged["post"], default["post"]):
        assert (operation["tags"], operation["summary"]) == (["own"], "Our Log in")
        assert "429" in operation["responses"]


def test_without_a_default_schema_class() -> None:
    """Our views are described even if the project's default is still DRF's class."""
    with override_settings(REST_FRAMEWORK={}):
        (login,) = of(path("login/", LoginView.as_view())).values()
    assert "429" in login["post"]["responses"]


def test_a_view_of_the_project_s_own() -> None:
    """A project's view with our base or authentication class is described with one security scheme."""
    paths = of(path("other/", OtherView.as_view()), path("route/", RouteView.as_view()))
    assert paths["/other/"]["post"]["operationId"] == "other_create"
    assert paths["/route/"]["get"]["security"][0] == {"jwtAuth": []}


class RecentView(RouteView):
    permission_classes = [IsAuthenticated & (RecentLogin | IsAdminUser)]


class DescribedView(RouteView):
    permission_classes = [RecentLogin]

    @extend_schema(responses={200: CodeSerializer, 401: CodeSerializer})
    def get(self, request: Request) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called


@extend_schema(responses=dict[str, str], summary="A function")
@api_view(["GET"])
@permission_classes([RecentLogin])
def function(request: Request) -> Response:
    """A function view."""
    raise NotImplementedError  # pragma: no cover - it is described, and never called


class Actions(ViewSet):
    serializer_class = CodeSerializer

    def list(self, request: Request) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called

    @extend_schema(summary="An action")
    @action(detail=False, permission_classes=[RecentLogin.within(timedelta(minutes=1))])
    def transfer(self, request: Request) -> Response:
        raise NotImplementedError  # pragma: no cover - it is described, and never called


def test_a_step_up_of_the_project_s_views() -> None:
    """A view, function or action with RecentLogin has the challenge, unless the project describes a 401 itself."""
    router = SimpleRouter()
    router.register("actions", Actions, basename="actions")
    views = {"recent/": RecentView, "described/": DescribedView, "route/": RouteView}
    patterns = [path(name, view.as_view()) for name, view in views.items()]
    made = whole(*patterns, path("function/", function), *router.urls)
    found = {route: methods["get"] for route, methods in made["paths"].items()}
    assert {route for route, operation in found.items() if "401" in operation["responses"]} == {
        "/recent/",
        "/described/",
        "/function/",
        "/actions/transfer/",
    }
    assert (found["/function/"]["summary"], found["/actions/transfer/"]["summary"]) == ("A function", "An action")
    assert "headers" not in found["/described/"]["responses"]["401"]
    answer = found["/recent/"]["responses"]["401"]
    assert headers(answer) == {"WWW-Authenticate": True}
    (example,) = answer["content"]["application/json"]["examples"].values()
    jsonschema.validate(example["value"], content(made, answer))
    assert example["value"] == {
        "detail": "Confirm your identity again.",
        "code": "insufficient_user_authentication",
        "max_age": 300,
    }


def test_a_step_up_for_sessions(user: Any) -> None:
    """With STEP_UP_SESSIONS, the 401 of the sessions endpoints has a second body, which the answers fit."""
    with with_settings(STEP_UP_SESSIONS=timedelta(seconds=1)):
        described = cookie_mount()
        caller = Caller(user, mount=COOKIE)
        access = families.start(user, context={"auth_time": 0}).access
        for name, method in (("sessions/", "get"), ("sessions/", "delete"), ("logout/all/", "post")):
            for header, code in ((bearer(access), "insufficient_user_authentication"), ({}, "token_not_valid")):
                response = getattr(caller, method)(COOKIE + name, **header)
                assert (response.status_code, response.json()["code"]) == (401, code)
                answer_of(described, COOKIE, name, response)
    assert "max_age" not in str(cookie_mount())


def test_refusals_of_the_project_s_own() -> None:
    """Reasons and codes of a project's own error classes are described. A class without them does no harm."""

    class Barred(TokenNotValid):
        """A base class of the project's errors, without a reason or a code of its own."""

    class Suspended(Barred):
        reason = "suspended"
        message = "The account is suspended."

    class Unconfirmed(NoActiveAccount):
        code = "unconfirmed"
        message = "The address is not confirmed."

    described = cookie_mount()
    del Barred, Suspended, Unconfirmed
    gc.collect()
    schemas = described["components"]["schemas"]
    assert "suspended" in schemas["TwoTokenReason"]["enum"]
    assert "unconfirmed" in schemas["TwoTokenErrorCode"]["enum"]
    refused = described["paths"][COOKIE + "login/"]["post"]["responses"]["401"]
    bodies = [example["value"] for example in refused["content"]["application/json"]["examples"].values()]
    assert bodies[-1] == {"detail": "The address is not confirmed.", "code": "unconfirmed"}
    jsonschema.validate(bodies[-1], content(described, refused))


def deliveries(paths: Any) -> dict[str, str]:
    """Return, by route, the name of the component that describes the answer to a login."""
    return {
        route: operation["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for route, operation in paths.items()
        if "login" in route
    }


def test_a_mount_is_found_wherever_it_is() -> None:
    """The innermost URL option decides the delivery. Without one the view's attribute does, and then the setting."""
    by_body: Any = {"delivery": "body"}
    inner: Any = [path("auth/", include("twotoken.urls"))]
    paths = of(
        path("deep/", include([path("route/", RouteView.as_view())])),
        path("deep/", include(inner), by_body),
        path("<slug:tenant>/auth/", include("twotoken.urls", namespace="tenant"), by_body),
        path("view/login/", LoginView.as_view(delivery="body")),
        path("told/", include([path("login/", LoginView.as_view(), {"delivery": "cookie"})]), by_body),
        path("auth/", include("twotoken.urls", namespace="plain")),
    )
    assert deliveries(paths) == {
        "/deep/auth/login/": "TwoTokenPair",
        "/{tenant}/auth/login/": "TwoTokenPair",
        "/view/login/": "TwoTokenPair",
        "/told/login/": "TwoTokenAccess",
        "/auth/login/": "TwoTokenAccess",
    }
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_a_part_of_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SERVE_URLCONF, routes have the delivery of their mount, and patterns without a mount that of DELIVERY."""
    monkeypatch.setattr(spectacular_settings, "SERVE_URLCONF", "tests.urls")
    with override_settings(ROOT_URLCONF=()):
        served = generate(urlconf="tests.urls")["paths"]
    assert deliveries(served)[BODY + "login/"] == "TwoTokenPair"
    with with_settings(DELIVERY="body"):
        (login,) = deliveries(generate(patterns=urls.urlpatterns)["paths"]).values()
    assert login == "TwoTokenPair"


def test_a_session_s_id(described: Any) -> None:
    """The id of a session is described as a UUID, although the route's converter does not say so."""
    operation = COOKIE + "sessions/{family_id}/"
    (family_id,) = (each for each in parameters(described, operation, "delete") if each["name"] != "DPoP")
    assert (family_id["in"], family_id["schema"]["format"], family_id["required"]) == ("path", "uuid", True)
    session = described["components"]["schemas"]["TwoTokenSession"]
    assert session["properties"]["last_used_at"]["format"] == "date-time"
    assert "refresh" not in str(sorted(session["properties"]))


@pytest.mark.parametrize("algorithm", ["HS256", *ASYMMETRIC])
def test_the_public_keys(described: Any, client: Any, algorithm: str) -> None:
    """The key set is described for any keys, and needs no authentication."""
    operation = described["paths"]["/.well-known/jwks.json"]["get"]
    assert (operation["operationId"], operation["security"]) == ("well_known_jwks_json", [{}])
    assert set(operation["responses"]) == {"200"}
    with with_settings(ACCESS_ALGORITHM=algorithm, ACCESS_SECRET=TEXTS[algorithm]):
        answer = client.get("/.well-known/jwks.json")
    assert (answer.status_code, len(answer.json()["keys"])) == (200, 0 if algorithm == "HS256" else 2)
    jsonschema.validate(answer.json(), content(described, operation["responses"]["200"]))


WITHOUT = """
import sys
from django.conf import settings
import tests.settings as usual
values = {name: getattr(usual, name) for name in dir(usual) if name.isupper()}
values["INSTALLED_APPS"] = [app for app in usual.INSTALLED_APPS if app != "drf_spectacular"]
values["REST_FRAMEWORK"] = {**usual.REST_FRAMEWORK, "DEFAULT_SCHEMA_CLASS": "rest_framework.schemas.openapi.AutoSchema"}
values["ALLOWED_HOSTS"] = ["testserver"]
values["DATABASES"] = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
settings.configure(**values)
import django
django.setup()
from django.core.management import call_command
from rest_framework.test import APIClient
call_command("check")
assert APIClient().post("/api/auth/logout/").status_code == 204
assert APIClient().get("/api/me/").status_code == 401
assert not [name for name in sys.modules if "spectacular" in name]
"""


@pytest.mark.slow
def test_without_drf_spectacular() -> None:
    """If drf-spectacular is not in INSTALLED_APPS, it is never imported, so it need not be installed."""
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)


def test_without_the_app(client: Any, db: None) -> None:
    """The service answers the same if drf-spectacular is removed from INSTALLED_APPS."""
    apps = [app for app in settings.INSTALLED_APPS if app != "drf_spectacular"]
    with override_settings(INSTALLED_APPS=apps):
        assert client.post(COOKIE + "logout/").status_code == 204
        assert client.get("/api/me/").status_code == 401
