"""Writes the benchmarks' results as ratios: tables for the terminal, and the docs' page with its plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Spread, above, ratio, spread
from benchmarks.load import CLIENTS, THREADS, WORKERS
from benchmarks.measures import POLL_SECONDS, PREPARED
from benchmarks.targets import Results, judge

OPERATIONS = {
    "login": "login",
    "login-real": "login, real hasher",
    "get": "GET",
    "refresh": "refresh",
    "refresh-durable": "refresh, durable",
    "logout": "logout",
}
MIB = 1024 * 1024
KIB = 1024


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def cases(results: Results, measure: str, clock: str = "wall") -> dict[str, list[float]]:
    """Return the times of each competitor's rounds in a measure.

    For the measure ``get``, only a GET without authentication and the classes named "access" count.
    """
    return {
        name.removesuffix(" access"): case[clock]
        for name, case in results.get(measure, {}).items()
        if measure != "get" or name.endswith((" access", "floor"))
    }


def target_table(results: Results) -> str:
    """Return a table of the targets with their measured values."""
    lines = [
        (
            target.text,
            f"{'at least' if target.at_least else 'at most'} {target.bound:g}",
            str(found),
            "met" if target.met(found) else "**not met**",
        )
        for target, found in judge(results)
    ]
    return table(("target", "bound", "measured", "verdict"), lines)


def ratio_table(results: Results, clock: str = "wall") -> str:
    """Return a table of each competitor's time divided by twotoken's, for each operation."""
    measured = {label: cases(results, measure, clock) for measure, label in OPERATIONS.items() if results.get(measure)}
    competitors = sorted({name for found in measured.values() for name in found} - {"twotoken"})
    lines = [
        (
            competitor,
            *(
                str(ratio(found[competitor], found["twotoken"])) if competitor in found else ""
                for found in measured.values()
            ),
        )
        for competitor in competitors
    ]
    return table(("twotoken over", *measured), lines)


LEAST = "two-statements"


def least_of_a_refresh(results: Results) -> list[str]:
    """Return a list with a text: how much faster than simplejwt a refresh with two SQL statements can be.

    If this was not measured, return an empty list.
    """
    found = {name: case["wall"] for name, case in results.get("refresh", {}).items()}
    if not found.keys() >= {LEAST, "simplejwt", "simplejwt-norotation"}:
        return []
    rotating, lasting = (ratio(found[name], found[LEAST]) for name in ("simplejwt", "simplejwt-norotation"))
    return [
        "A view of DRF that only runs the two SQL statements of a refresh, and neither verifies nor signs a token"
        f" (`{LEAST}`), answers {rotating} times as many requests as simplejwt with rotation, and {lasting} times as"
        " many as simplejwt without rotation. A refresh with two statements can't be faster than this."
    ]


def summary(results: Results) -> str:
    """Return the README's table: the median of each competitor's time divided by twotoken's, for four operations."""
    measures = ("login", "get", "refresh", "logout")
    measured = [cases(results, measure) for measure in measures]
    lines = [
        (
            competitor,
            *(
                f"{ratio(found[competitor], found['twotoken']).middle:.1f}" if competitor in found else ""
                for found in measured
            ),
        )
        for competitor in PLOTTED[1:]
    ]
    return table(("twotoken over", *(OPERATIONS[measure] for measure in measures)), lines)


def get_table(results: Results) -> str:
    """Return a table of what a GET costs with each authentication class."""
    found = results["get"]
    plain, floor, unit = (found[name] for name in ("twotoken access", "floor", "PyJWT decode"))
    lines = [
        (
            name,
            str(ratio(plain["wall"], case["wall"])),
            str(above(case["processor"], floor["processor"], unit["processor"])),
        )
        for name, case in found.items()
        if name.split()[0] not in {"PyJWT", "HMAC-SHA-256", "ES256", "floor"}
    ]
    decode = ratio(floor["processor"], unit["processor"])
    digest = ratio(unit["processor"], found["HMAC-SHA-256"]["processor"])
    signature = ratio(found["ES256 verify"]["processor"], unit["processor"])
    heads = ("class", "throughput, twotoken access = 1", "processor time above the floor, in decodes")
    return (
        f"{table(heads, lines)}\n\nThe floor, a GET of the same view without authentication, takes the processor"
        f" time of {decode} PyJWT decodes. One PyJWT decode takes the processor time of {digest} HMACs with"
        f" SHA-256. The check of one ES256 signature, which each DPoP proof needs, takes the processor time of"
        f" {signature} PyJWT decodes."
    )


def statement_table(results: Results) -> str:
    """Return a table of the number of SQL statements of each operation."""
    found = {name: operations for name, operations in results["statements"].items() if operations}
    heads = list(dict.fromkeys(operation for operations in found.values() for operation in operations))
    lines = [
        (name, *(str(len(operations[head])) if head in operations else "" for head in heads))
        for name, operations in found.items()
    ]
    return table(("statements", *heads), lines)


def storage_table(results: Results) -> str:
    """Return a table of the rows and bytes that one login and its refreshes leave in the database."""
    lines = []
    for name, found in results["storage"].items():
        before, login, after, clean = (found[moment] for moment in ("before", "login", "after", "vacuumed"))
        updated, hot = found["updates"]
        lines.append(
            (
                name,
                str(login["rows"] - before["rows"]),
                str(after["rows"] - login["rows"]),
                f"{(after['bytes'] - before['bytes']) / KIB:.0f}",
                f"{(clean['bytes'] - before['bytes']) / KIB:.0f}",
                f"{hot / updated:.1%}" if updated else "",
            )
        )
    heads = (
        "package",
        "rows that the login adds",
        "rows that the refreshes add",
        "KiB of both",
        "KiB after VACUUM",
        "heap-only share of updates",
    )
    return table(heads, lines)


def purge_table(results: Results) -> str:
    """Return a table of the time and memory of a purge, which deletes expired rows."""
    found = results["purge"]
    lines = [
        (
            name,
            str(ratio(found["simplejwt"]["seconds"], case["seconds"])),
            f"{spread(case['start']).middle / MIB:.0f}",
            f"{case['peak of a tenth'] / MIB:.0f}",
            f"{spread(case['peak']).middle / MIB:.0f}",
        )
        for name, case in found.items()
    ]
    heads = (
        "package",
        "rows per second, simplejwt = 1",
        "MiB at start",
        "peak MiB with a tenth of the rows",
        "peak MiB with all rows",
    )
    return table(heads, lines)


def growth_table(results: Results) -> str:
    """Return a table of the time of a refresh by the number of families, and the cost of the admin's list."""
    families = results["growth"]["families"]
    first = families[min(families, key=int)]
    lines = [
        (
            f"{int(count):,}",
            str(ratio(case["wall"], first["wall"])),
            f"{case['updates'][1] / case['updates'][0]:.1%}" if case["updates"][0] else "",
        )
        for count, case in families.items()
    ]
    listed = [
        f"{what}: {count} SQL statements, as long as {seconds / spread(first['wall']).middle:.0f} refreshes"
        for what, (seconds, count) in results["growth"]["admin"].items()
    ]
    heads = ("families", "time of a refresh, with the fewest families = 1", "heap-only share of updates")
    return table(heads, lines) + f"\n\nThe admin's list with the most families costs: {'; '.join(listed)}."


def prepared_table(results: Results) -> str:
    """Return a table of the gain by prepared statements, and of twotoken's ratio to packages without and with them."""
    lines = []
    for operation, found in results["prepared"].items():
        ours, theirs = found["twotoken"]["wall"], found[f"twotoken{PREPARED}"]["wall"]
        for name in (name for name in found if not name.endswith(PREPARED)):
            without, with_them = found[name]["wall"], found[f"{name}{PREPARED}"]["wall"]
            gain = str(ratio(without, with_them))
            lines.append((OPERATIONS[operation], name, gain, str(ratio(without, ours)), str(ratio(with_them, theirs))))
    heads = (
        "operation",
        "package",
        "its throughput with prepared statements, without = 1",
        "twotoken over it, both without prepared statements",
        "twotoken over it, both with prepared statements",
    )
    return table(heads, lines)


def gunicorn_table(results: Results) -> str:
    """Return a table of twotoken's throughput and latency under gunicorn, compared with each package."""
    lines = []
    for operation, found in results["gunicorn"].items():
        ours = found["twotoken"]
        lines += [
            (
                OPERATIONS[operation],
                name,
                *(str(ratio(case[figure], ours[figure])) for figure in ("wall", "p50", "p95", "p99")),
                f"{spread(case['p99']).middle * 1000:.0f} ms",
            )
            for name, case in found.items()
        ]
    heads = (
        "operation",
        "package",
        "requests per second, twotoken over it",
        "median latency, its over twotoken's",
        "p95 latency, its over twotoken's",
        "p99 latency, its over twotoken's",
        "its p99 latency",
    )
    return (
        f"{CLIENTS} clients send requests at the same time, over connections that are kept alive. Each client sends"
        f" its next request after the answer to the last one. Each package has its own gunicorn with {WORKERS} workers"
        f" of {THREADS} threads, and the packages take turns. Latency is how long a client waits for an"
        f" answer.\n\n{table(heads, lines)}"
    )


BOUND = "twotoken-dpop"


def bound_table(results: Results) -> str:
    """Return a table of the time of a request with a DPoP proof, divided by its time without a proof."""
    lines = [
        (OPERATIONS[measure], str(ratio(found[BOUND]["wall"], found["twotoken"]["wall"])))
        for measure in ("login", "refresh")
        if BOUND in (found := results.get(measure, {}))
    ]
    lines += [
        (f"GET, {label} class", str(ratio(case["wall"], results["get"][f"twotoken {label}"]["wall"])))
        for name, case in results.get("get", {}).items()
        if (label := name.removeprefix(f"{BOUND} ")) != name
    ]
    return table(("request", "time with a proof, without = 1"), lines)


def revoked_table(results: Results) -> str:
    """Return a table of what REVOCATION_INTERVAL costs: in a stateless GET, and when the revoked families are read."""
    lines = []
    for count, found in results["revoked"].items():
        first, later, kept = found["readings"]
        lines.append(
            (
                f"{int(count):,}",
                str(ratio(found["with"], found["without"])),
                f"{first * 1000:.0f} ms",
                f"{later * 1000:.1f} ms",
                f"{later / POLL_SECONDS:.1%}",
                f"{kept / MIB:.1f}",
            )
        )
    heads = (
        "revoked families",
        "processor time of a GET, without = 1",
        "first reading",
        "later reading",
        "share of a processor for later readings",
        "MiB of the list",
    )
    return table(heads, lines)


def revoked_index_table(results: Results) -> str:
    """Return a table of the time of each operation with the index on ``revoked_at``, divided by the time without it."""
    lines = []
    for operation, found in results["revoked-index"].items():
        shares = [
            f"{hot / updated:.1%}" if updated and operation == "refresh" else ""
            for updated, hot in (found[name]["updates"] for name in ("with", "without"))
        ]
        lines.append((operation, str(ratio(found["with"]["wall"], found["without"]["wall"])), *shares))
    return table(
        ("operation", "time with the index, without = 1", "heap-only updates with it", "heap-only updates without it"),
        lines,
    )


SECTIONS = {
    "gunicorn": ("Under gunicorn, with several clients at once", gunicorn_table),
    "prepared": ("Prepared statements", prepared_table),
    "get": ("An authenticated GET, by class", get_table),
    "statements": ("SQL statements per operation, with BEGIN, COMMIT and SAVEPOINT", statement_table),
    "storage": ("What one login and {refreshes:,} refreshes leave", storage_table),
    "purge": ("Purging {rows:,} expired families, or as many expired tokens", purge_table),
    "growth": ("A refresh, as the number of families grows", growth_table),
    "revoked": ("The stateless class with REVOCATION_INTERVAL of 5 seconds", revoked_table),
    "revoked-index": ("The index on `revoked_at`", revoked_index_table),
}


def body(results: Results, level: str) -> str:
    """Return all tables of the results on one database. ``level`` is the Markdown mark of their headings."""
    parts = [
        f"{level} Targets",
        target_table(results),
        *least_of_a_refresh(results),
        f"{level} Requests per second, twotoken's divided by each competitor's",
        ratio_table(results),
        f"{level} Requests per second of the Python process's processor time, twotoken's divided by each competitor's",
        ratio_table(results, "processor"),
    ]
    if any(name.startswith(BOUND) for measure in ("login", "get", "refresh") for name in results.get(measure, {})):
        parts += [f"{level} Requests with a DPoP proof", bound_table(results)]
    for measure, (title, make) in SECTIONS.items():
        if results.get(measure):
            parts += [f"{level} {title.format(**results['about']['size'])}", make(results)]
    return "\n\n".join(parts)


def terminal(results: Results) -> str:
    """Return the tables of one run as text for a terminal."""
    return body(results, "##")


INTRODUCTION = Path(__file__).with_name("introduction.md").read_text()


def page(found: Mapping[str, Results]) -> str:
    """Return the page of the docs that shows the results on each kind of database."""
    parts = [INTRODUCTION.rstrip()]
    for results in found.values():
        about = results["about"]
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        parts += [
            f"## {about['database']}",
            f"{'; '.join(about['commands'])}; {about['processors']} processors; {versions}.",
            body(results, "###"),
        ]
    return "\n\n".join(parts) + "\n"


COLOURS = ("#2a9d8f", "#c98b3c", "#dcb98a", "#7a6fb0", "#c05b5b", "#5b87c0", "#a0a050")
PLOTTED = ("twotoken", "simplejwt", "simplejwt-norotation", "knox", "dj-rest-auth", "allauth", "oauth-toolkit")
WIDTH, LEFT, BAR, GAP, HEAD = 760, 170, 16, 14, 24


def plot(found: Mapping[str, Results]) -> str:
    """Return a plot of each competitor's throughput by operation, divided by twotoken's, on the first database."""
    results = next(iter(found.values()))
    bars: list[tuple[str, str, Spread]] = []
    for measure in ("login", "get", "refresh", "logout"):
        rounds = cases(results, measure)
        bars += [
            (OPERATIONS[measure], competitor, ratio(rounds["twotoken"], rounds[competitor]))
            for competitor in PLOTTED
            if competitor in rounds
        ]
    scale = (WIDTH - LEFT - 60) / max((bar.high for _, _, bar in bars), default=1)
    shapes, y, last = [], 8, ""
    for operation, competitor, bar in bars:
        if operation != last:
            y += GAP
            shapes.append(f'<text x="4" y="{y + 12}" font-weight="bold">{operation}</text>')
            y, last = y + HEAD, operation
        low, end, high = (LEFT + value * scale for value in (bar.low, bar.middle, bar.high))
        shapes += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{competitor}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 3}"'
            f' fill="{COLOURS[PLOTTED.index(competitor)]}"/>',
            # The quartiles are a grey line on a wider light one, which shows on a bar and on a page of any colour.
            *(
                f'<path d="M{low:.1f} {y + 6.5}H{high:.1f}" stroke="{colour}" stroke-width="{width}"/>'
                for colour, width in (("#ffffff", 4), ("#707070", 2))
            ),
            f'<text x="{max(end, high) + 6:.1f}" y="{y + 12}">{bar.middle:.2f}</text>',
        ]
        y += BAR
    y += GAP
    title = f"Requests per second, twotoken = 1; more is faster. Medians and quartiles, {results['about']['database']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 24}" role="img" font-family="sans-serif"'
        f' font-size="12" fill="#808080"><title>{title}</title>\n'
        + "\n".join(shapes)
        + f'\n<text x="4" y="{y + 10}">{title}</text>\n</svg>\n'
    )
