"""The worker, which calls the WSGI application. The module ``remote`` creates one in each competitor's process."""

from __future__ import annotations

import cProfile
import gc
import hashlib
import hmac
import os
import pstats
import resource
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from datetime import timedelta
from importlib import import_module
from io import BytesIO, StringIO
from itertools import cycle
from statistics import quantiles
from typing import Any

import jwt
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import resolve

from benchmarks import rows
from benchmarks.competitor import PASSWORD, SECRET, Answer, Call, Competitor, Tokens
from benchmarks.load import BROWSER, CLIENTS, Gunicorn, send

USERS = 100
POOL = 50  # so many logins are made; their tokens are used in turn
REAL = "real"  # the user whose password is hashed by Django's default hasher
REAL_HASHER = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
CLAIMS = {"sub": "1", "sid": "6b2f5c9e-9d0f-4b7e-8f44-0d3c1f0a9b11", "jti": "Zk3m8s0T5pQ2vX7yB1nR4g", "iat": 1}


class WrongAnswerError(Exception):
    """A competitor gave a wrong answer, so its results would not be what the table's heading says."""


class Worker:
    """Serves the coordinator's calls in a process where Django is set up for one competitor."""

    gunicorn: Gunicorn

    def __init__(self, competitor: Competitor) -> None:
        self.competitor = competitor
        self.application = get_wsgi_application()
        self.users = cycle(f"user{number}" for number in range(USERS))
        self.pool: list[Tokens] = []
        self.token = jwt.encode(CLAIMS | {"exp": int(time.time()) + 86400}, SECRET, "HS256")

    def create(self) -> str:
        """Create the database and its users, and return the name of the database."""
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        user = apps.get_model("auth", "User")
        for name in [*(f"user{number}" for number in range(USERS)), REAL]:
            with override_settings(PASSWORD_HASHERS=[REAL_HASHER]) if name == REAL else nullcontext():
                user.objects.create_superuser(name, password=PASSWORD)
        for label, fields in self.competitor.rows:
            apps.get_model(label).objects.create(**fields)
        gc.collect()
        gc.freeze()
        return str(connection.settings_dict["NAME"])

    def server(self) -> str:
        """Return the name and version of the database server."""
        numbers = ".".join(str(part) for part in connection.get_database_version())
        return f"{connection.display_name} {numbers}"

    def destroy(self) -> None:
        """Drop the database."""
        connection.creation.destroy_test_db(os.environ["BENCHMARKS_NAME"], verbosity=0)

    def send(self, request: dict[str, Any]) -> Answer:
        """Call the application as a WSGI server does."""
        head: list[Any] = []
        response = self.application(request, lambda *arguments: head.extend(arguments))  # type: ignore[arg-type]
        body = b"".join(response)
        response.close()
        return Answer(int(head[0][:3]), tuple(head[1]), body)

    def ask(self, call: Call, what: str, *, refused: bool = False) -> Answer:
        """Send one request, and check its answer as ``expect`` does."""
        return self.expect(self.send(environ(call)), what, refused=refused)

    def expect(self, answer: Answer, what: str, *, refused: bool = False) -> Answer:
        """Return an answer that is a success or, with ``refused``, a refusal. Otherwise raise WrongAnswerError."""
        wanted = range(400, 404) if refused else range(200, 300)
        if answer.status not in wanted and not (what == "logout" and answer.status == self.competitor.logged_out):
            raise WrongAnswerError(f"{self.competitor.name}: {what}: {answer.status} {answer.body[:300]!r}")
        return answer

    def log_in(self, name: str | None = None) -> Tokens:
        """Log in the named user. Without a name, log in the next of the users."""
        return self.competitor.tokens(self.ask(self.competitor.login(name or next(self.users), PASSWORD), "login"))

    def check(self) -> list[str]:
        """Run each operation, check the competitor's promises, and return the names of what was checked."""
        competitor = self.competitor
        self.ask(Call("GET", "/get/none/"), "get none")
        seen = ["get none"]
        if not competitor.operations:
            return seen
        self.ask(competitor.login("user0", "wrong"), "login with a wrong password", refused=True)
        tokens = self.log_in()
        for label in competitor.authentication:
            self.ask(competitor.get(f"/get/{label}/", tokens), f"get {label}")
            self.ask(Call("GET", f"/get/{label}/"), f"get {label} without a token", refused=True)
            seen.append(f"get {label}")
        label = next(iter(competitor.authentication))
        if "refresh" in competitor.operations:
            after = competitor.tokens(self.ask(competitor.refresh(tokens), "refresh"), tokens)
            if (after.refresh != tokens.refresh) != competitor.rotates:
                raise WrongAnswerError(f"{competitor.name}: refresh: rotated is not {competitor.rotates}")
            self.ask(competitor.get(f"/get/{label}/", after), "get after a refresh")
            self.ask(competitor.refresh(tokens), "replay", refused=competitor.refuses_replay)
            seen += ["refresh", "replay refused" if competitor.refuses_replay else "replay taken"]
        if "logout" in competitor.operations:
            tokens = self.log_in()
            self.ask(competitor.logout(tokens), "logout")
            again = (
                competitor.refresh(tokens)
                if "refresh" in competitor.operations
                else competitor.get(f"/get/{label}/", tokens)
            )
            self.ask(again, "use after a logout", refused=True)
            seen += ["logout", "ended by it"]
        return seen

    def batch(self, operation: str, count: int) -> tuple[float, float]:
        """Run an operation several times, and return the wall-clock seconds and the processor seconds per operation."""
        if operation in {"pyjwt", "hmac", "es256"}:
            return self.bare(operation, count)
        if operation == "refresh-durable":
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = on")
                found = self.batch("refresh", count)
                cursor.execute("SET synchronous_commit = off")
            return found
        calls, finish = self.prepare(operation, count)
        requests = [environ(call) for call in calls]
        with override_settings(PASSWORD_HASHERS=[REAL_HASHER]) if operation == "login-real" else nullcontext():
            wall, processor = time.perf_counter(), time.process_time()
            answers = [self.send(request) for request in requests]
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
        for answer in answers:
            self.expect(answer, operation)
        finish(answers)
        return wall / count, processor / count

    def prepare(self, operation: str, count: int) -> tuple[list[Call], Callable[[list[Answer]], None]]:
        """Return the requests of a batch, and a function that takes their answers. Only the sending is timed."""
        competitor = self.competitor
        if operation == "get none":
            return [Call("GET", "/get/none/")] * count, _nothing
        if operation == "login-real":
            return [competitor.login(REAL, PASSWORD)] * count, _nothing
        if operation == "login":
            return [competitor.login(next(self.users), PASSWORD) for _ in range(count)], _nothing
        if operation == "logout":
            return [competitor.logout(self.log_in()) for _ in range(count)], _nothing
        taken = self.take(count)
        if operation == "refresh":

            def finish(answers: list[Answer]) -> None:
                self.pool += [competitor.tokens(answer, before) for answer, before in zip(answers, taken, strict=True)]

            return [self.call_for(operation, tokens) for tokens in taken], finish
        self.pool += taken
        return [self.call_for(operation, tokens) for tokens in taken], _nothing

    def take(self, count: int) -> list[Tokens]:
        """Take the tokens of several logins from the pool. The caller adds the next tokens to the end of the pool."""
        while len(self.pool) < max(POOL, count):
            self.pool.append(self.log_in())
        taken, self.pool = self.pool[:count], self.pool[count:]
        return taken

    def start_gunicorn(self, environment: dict[str, str]) -> None:
        """Start gunicorn on this worker's database, for ``load``. Don't wait: several start at the same time."""
        self.gunicorn = Gunicorn(environment)

    def await_gunicorn(self) -> None:
        """Wait until gunicorn answers."""
        self.gunicorn.wait()

    def stop_gunicorn(self) -> None:
        """Stop gunicorn."""
        self.gunicorn.stop()

    def load(self, operation: str, count: int) -> tuple[float, ...]:
        """Let several clients send requests to gunicorn at the same time. Each sends its requests one after the other.

        Return the seconds until the last answer, divided by the number of requests. Also return how many seconds a
        client waited for an answer: the median, the 95th and the 99th percentile.
        """

        def client(tokens: Tokens) -> tuple[Tokens, list[float]]:
            waited = []
            with closing(self.gunicorn.connect()) as connection:
                for _ in range(count):
                    call = self.call_for(operation, tokens)
                    began = time.perf_counter()
                    answer = self.expect(send(connection, call), operation)
                    waited.append(time.perf_counter() - began)
                    if operation == "refresh":
                        tokens = self.competitor.tokens(answer, tokens)
            return tokens, waited

        taken = self.take(CLIENTS)
        with ThreadPoolExecutor(CLIENTS) as clients:
            began = time.perf_counter()
            found = list(clients.map(client, taken))
            took = time.perf_counter() - began
        self.pool += [tokens for tokens, _ in found]
        percentiles = quantiles((seconds for _, waited in found for seconds in waited), n=100, method="inclusive")
        return took / (CLIENTS * count), percentiles[49], percentiles[94], percentiles[98]

    def call_for(self, operation: str, tokens: Tokens) -> Call:
        """Return the request of an operation, with these tokens if it needs them."""
        if operation == "login":
            return self.competitor.login(next(self.users), PASSWORD)
        if operation == "refresh":
            return self.competitor.refresh(tokens)
        return self.competitor.get(f"/{operation.replace(' ', '/')}/", tokens)

    def bare(self, operation: str, count: int) -> tuple[float, float]:
        """Time PyJWT, an HMAC, or cryptography's check of an ES256 signature alone, without a request."""
        key, message = SECRET.encode(), self.token.rpartition(".")[0].encode()
        ec = import_module("cryptography.hazmat.primitives.asymmetric.ec")
        scheme = ec.ECDSA(import_module("cryptography.hazmat.primitives.hashes").SHA256())
        private = ec.generate_private_key(ec.SECP256R1())
        public, signature = private.public_key(), private.sign(message, scheme)
        wall, processor = time.perf_counter(), time.process_time()
        if operation == "pyjwt":
            for _ in range(count):
                jwt.decode(self.token, SECRET, algorithms=["HS256"])
        elif operation == "es256":
            for _ in range(count):
                public.verify(signature, message, scheme)
        else:
            for _ in range(count):
                hmac.digest(key, message, hashlib.sha256)
        return (time.perf_counter() - wall) / count, (time.process_time() - processor) / count

    def statements(self, operation: str) -> list[str]:
        """Return the SQL statements of one operation, with BEGIN, COMMIT and SAVEPOINT."""
        self.batch(operation, 1)
        calls, finish = self.prepare(operation, 1)
        with CaptureQueriesContext(connection) as captured:
            answer = self.send(environ(calls[0]))
        finish([self.expect(answer, operation)])
        return [query["sql"] for query in captured.captured_queries]

    def profile(self, operation: str, count: int) -> str:
        """Return the profile of an operation: the 25 slowest functions by cumulative time and by own time."""
        self.batch(operation, count)
        calls, finish = self.prepare(operation, count)
        requests = [environ(call) for call in calls]
        profile, text = cProfile.Profile(), StringIO()
        profile.enable()
        answers = [self.send(request) for request in requests]
        profile.disable()
        finish(answers)
        stats = pstats.Stats(profile, stream=text).strip_dirs()
        stats.sort_stats("cumulative").print_stats(25)
        stats.sort_stats("tottime").print_stats(25)
        return f"{self.competitor.name}, {operation}, {count} requests\n{text.getvalue()}"

    def storage(self, refreshes: int) -> dict[str, Any]:
        """Log in once and refresh many times; return the rows and bytes added, and PostgreSQL's update counts."""
        tables = rows.tables(self.competitor.storage)
        before, updates = rows.sizes(tables), rows.updates(tables)
        tokens = self.log_in()
        login = rows.sizes(tables)
        for _ in range(refreshes):
            tokens = self.competitor.tokens(self.ask(self.competitor.refresh(tokens), "refresh"), tokens)
        after, updates_after = rows.sizes(tables), rows.updates(tables)
        rows.vacuum(tables)
        return {
            "before": before,
            "login": login,
            "after": after,
            "vacuumed": rows.sizes(tables),
            "updates": [now - then for now, then in zip(updates_after, updates, strict=True)],
        }

    def fill(self, kind: str, *numbers: int) -> float:
        """Insert rows by the function ``kind`` of the module ``rows``. Return the seconds that this took."""
        began = time.perf_counter()
        getattr(rows, kind)(*numbers)
        return time.perf_counter() - began

    def drop_indexes(self) -> list[str]:
        """Drop the keys and indexes of the table of families; return the statements that restore them."""
        return rows.drop_indexes()

    def drop_revoked_index(self) -> None:
        """Drop the index on ``revoked_at``."""
        rows.drop_revoked_index()

    def poll_revocations(self, seconds: float | None) -> None:
        """Set REVOCATION_INTERVAL to these seconds. With None, the stateless class accepts revoked families."""
        interval = None if seconds is None else timedelta(seconds=seconds)
        settings.TWOTOKEN = {**settings.TWOTOKEN, "REVOCATION_INTERVAL": interval}

    def readings(self) -> list[float]:
        """Read the list of revoked families twice; return each reading's processor seconds, and the list's bytes."""
        made = import_module("twotoken.families.revoked").RevokedFamilies  # other competitors have no such app
        known, times = made("default"), []
        for _ in range(2):
            began = time.process_time()
            known.read()
            times.append(time.process_time() - began)
        tracemalloc.start()
        known = made("default")
        known.read()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return [*times, float(kept)]

    def run(self, statement: str) -> None:
        """Run an SQL statement."""
        rows.run(statement)

    def rotation(self) -> str:
        """Return the SQL statement of a rotation, with ``%s`` for each value."""
        return rows.rotation()

    def sample(self, count: int) -> None:
        """Fill the pool with the tokens of families from all parts of the table."""
        self.pool = rows.sample(count)

    def updates(self) -> list[int]:
        """Return PostgreSQL's count of updated rows, and its count of the heap-only updates among them."""
        return rows.updates(rows.tables(self.competitor.storage))

    def command(self, name: str) -> tuple[float, int, int]:
        """Run a management command; return its seconds, and the process's peak memory in bytes before and after."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        call_command(name, stdout=StringIO(), stderr=StringIO())
        took = time.perf_counter() - began
        return took, before * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def admin_page(self, address: str) -> tuple[float, int]:
        """Render a page of the admin of families; return the seconds that it took and its number of SQL statements."""
        request = RequestFactory().get(f"/admin/twotoken/refreshtoken/{address}")
        request.user = apps.get_model("auth", "User").objects.get(username="user0")
        view, arguments, options = resolve(request.path)
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            response = view(request, *arguments, **options).render()
            took = time.perf_counter() - began
        if response.status_code != 200 or b"app-twotoken" not in response.content:
            raise WrongAnswerError(f"admin page: {response.status_code}")
        return took, len(captured)


def environ(call: Call) -> dict[str, Any]:
    """Return the WSGI environment of a request, as from a server behind a proxy on this machine."""
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.headers.items()}
    if kind := headers.pop("HTTP_CONTENT_TYPE", ""):
        headers["CONTENT_TYPE"] = kind
    return {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": call.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(call.body)),
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": BROWSER,
        "HTTP_ACCEPT": "application/json",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(call.body),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **headers,
    }


def _nothing(answers: list[Answer]) -> None:
    pass
