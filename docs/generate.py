"""Generates the reference (settings, errors, system checks, signals) from the code, and llms.txt from the pages.

``python docs/generate.py`` writes the reference into the pages, between markers, for people who read the pages beside
the code, and writes ``docs/llms.txt``. The build of the site generates both anew.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import django
from django.conf import settings as django_settings
from django.core.checks.registry import Tags, registry
from django.dispatch import Signal

DOCS = Path(__file__).parent
ROOT = DOCS.parent
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "rest_framework",
    "twotoken",
]

if not django_settings.configured:  # in the tests it is
    sys.path.insert(0, str(ROOT))
    django_settings.configure(INSTALLED_APPS=INSTALLED_APPS, USE_TZ=True)
    django.setup()

from twotoken import checks, conf, exceptions, responses, signals  # noqa: E402 - they need Django to be set up

ELLIPSIS = "…"
ID = re.compile(r"twotoken\.[EW]\d{3}")


# Settings


def settings() -> str:
    """Return an index of all keys of TWOTOKEN, and for each key its meaning, value, default, type and checks."""
    keys = [name.upper() for name in vars(conf.Settings) if name.upper() in conf.SETTING_NAMES]
    covered = coverage()
    rows = [[f"[`{key}`](#{slug(key)})", default(key)] for key in keys]
    return "\n\n".join([table(["key", "default"], rows), *(_setting(key, covered.get(key, [])) for key in keys)])


def _setting(key: str, ids: list[str]) -> str:
    getter = vars(conf.Settings)[key.lower()].fget
    facts = [f"Default: {default(key)}"]
    if key in checks.RULES:
        facts.insert(0, f"Value: {checks.RULES[key][0]}")
    facts.append(f"In Python: `conf.{key.lower()}`, of the type `{getter.__annotations__['return']}`")
    if ids:
        facts.append(f"Checks: {', '.join(f'[`{name}`](checks.md#{slug(name)})' for name in ids)}")
    return f"## `{key}`\n\n{prose(getter)}\n\n{items(facts)}"


def default(key: str) -> str:
    """Return a key's default as a person would write it. For a required key, say that it has no default."""
    call = next(
        node
        for node in ast.walk(tree(vars(conf.Settings)[key.lower()].fget))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value == key
    )
    if len(call.args) < 2:
        return "none, it is required"
    written = ast.unparse(call.args[1])
    if isinstance(call.args[1], ast.Name | ast.Attribute):  # a constant, a member: people write its value
        written = repr(str(value_of(call.args[1], import_module(conf.Settings.__module__))))
    return f"`{written.replace(chr(39), chr(34))}`"


def value_of(node: ast.expr, module: ModuleType) -> Any:
    """Return the value of an expression that reads only names of its module."""
    return eval(compile(ast.Expression(node), "<default>", "eval"), vars(module))  # noqa: S307 - our own code


# Errors


def codes() -> str:
    """Return every error code with its HTTP status and the meaning of its exception class."""
    return items(
        [
            f"`{error.code}`, {responses.STATUS_CODES.get(error.code, 500)}: {prose(error)}"
            for error in errors()
            if "code" in vars(error)
        ]
    )


def reasons() -> str:
    """Return every reason of the error code ``token_not_valid``, with the meaning of its exception class."""
    return items([f"`{error.reason}`: {prose(error)}" for error in errors() if "reason" in vars(error)])


def exception_classes() -> str:
    """Return every exception of twotoken with its base class, code, reason, status and detail."""
    return "\n\n".join(_exception(error) for error in errors() if "message" in vars(error))


def _exception(error: Any) -> str:
    facts = [f"A subclass of `{error.__mro__[1].__name__}`", f"`code`: `{error.code}`"]
    if hasattr(error, "reason"):
        facts.append(f"`reason`: `{error.reason}`")
    status = responses.STATUS_CODES.get(error.code)
    facts.append(f"Status: {status}" if status else "Status: none, it is never in an answer")
    facts.append(f"`detail`: {error.message}" if status else f"Message: {error.message}")
    return f"### `{error.__name__}`\n\n{prose(error)}\n\n{items(facts)}"


def errors() -> list[Any]:
    """Return twotoken's exception classes, in the order of their module."""
    return [value for value in vars(exceptions).values() if isinstance(value, type)]


# System checks


class Message(NamedTuple):
    """One call of Error() or Warning() in a system check, as far as it can be read without running the check."""

    id: str
    level: str
    text: str
    hint: str
    keys: frozenset[str]
    check: Callable[..., Any]


def system_checks() -> str:
    """Return, for each id of a system check, what must be true in a project, and the check's messages and hints."""
    found = messages()
    ids = sorted({message.id for message in found}, key=lambda name: name.partition(".")[2])
    return "\n\n".join(_check(name, [message for message in found if message.id == name]) for name in ids)


def _check(name: str, found: list[Message]) -> str:
    deploy = " --deploy" if any(message.check in registry.deployment_checks for message in found) else ""
    if Tags.database in found[0].check.tags:  # type: ignore[attr-defined]  # set by register
        deploy = " --database default`, and of `manage.py migrate"
    rule = rules(found[0].check).get(name.partition(".")[2], "")
    facts = [f"{'A' if found[0].level == 'Warning' else 'An'} {found[0].level.lower()} of `manage.py check{deploy}`"]
    facts += unique(f"Says: {code(message.text)}" for message in found if message.text.strip(ELLIPSIS))
    facts += unique(f"Hint: {code(message.hint)}" for message in found if message.hint.strip(ELLIPSIS))
    return f"## `{name}`\n\n{rule[:1].upper()}{rule[1:]}\n\n{items(facts)}"


def rules(check: Callable[..., Any]) -> dict[str, str]:
    """Return, for each id of a check, the sentences of the check's docstring that say what must be true."""
    parts = re.split(r"\b([EW]\d{3}): ", " ".join((inspect.getdoc(check) or "").split()))
    return {name: sentence.strip() for name, sentence in zip(parts[1::2], parts[2::2], strict=True)}


def coverage() -> dict[str, list[str]]:
    """Return, for each key of TWOTOKEN, the ids of the system checks that read or name it."""
    covered = {key: {"twotoken.E003"} for key in checks.RULES}
    for message in messages():
        for key in message.keys:
            covered.setdefault(key, set()).add(message.id)
    return {key: sorted(ids) for key, ids in covered.items()}


def messages() -> list[Message]:
    """Return every message that twotoken's registered system checks may give."""
    ours = {
        check
        for check in registry.registered_checks | registry.deployment_checks
        if check.__module__.partition(".")[0] == "twotoken"
    }
    in_order = sorted(ours, key=lambda check: (check.__module__, inspect.getsourcelines(check)[1]))
    found = [message for check in in_order for message in _messages(check)]
    modules = {check.__module__ for check in ours}
    named = {name for module in modules for name in ID.findall(inspect.getsource(sys.modules[module]))}
    if lost := named - {message.id for message in found}:
        raise LookupError(f"Not in a message of a registered check: {', '.join(sorted(lost))}")
    return found


def _messages(check: Callable[..., Any]) -> Iterator[Message]:
    module = sys.modules[check.__module__]

    def walk(node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[Message]:
        if isinstance(node, ast.If):
            around = (*around, node.test)
        elif isinstance(node, ast.For | ast.comprehension):
            around = (*around, node.iter)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Error", "Warning"}:
            given = {word.arg: word.value for word in node.keywords}
            keys = frozenset(key for part in (*around, node.args[0]) for key in keys_in(part))
            text, hint = (words(part, module) for part in (node.args[0], given.get("hint", ast.Constant(""))))
            yield Message(ast.literal_eval(given["id"]), node.func.id, text, hint, keys, check)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, around)

    yield from walk(tree(check), ())


def keys_in(part: ast.AST) -> Iterator[str]:
    """Return the keys of TWOTOKEN that an expression names, in a string or as an attribute of ``conf``."""
    for node in ast.walk(part):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from conf.SETTING_NAMES.intersection(re.findall(r"\w+", node.value))
        elif isinstance(node, ast.Attribute) and node.attr.upper() in conf.SETTING_NAMES:
            yield node.attr.upper()


def words(node: ast.expr, module: ModuleType) -> str:
    """Return the text of a string expression, with an ellipsis for each part that is known only when the code runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name) and isinstance(getattr(module, node.id, None), str | int):
        return str(getattr(module, node.id))
    if isinstance(node, ast.FormattedValue):
        text = words(node.value, module)
        return f"'{text}'" if node.conversion == ord("r") else text
    if isinstance(node, ast.JoinedStr):
        return "".join(words(value, module) for value in node.values)
    return ELLIPSIS


# Signals


def all_signals() -> str:
    """Return every signal with what it carries and when it is sent, from the docstring of ``twotoken.signals``."""
    names = [name for name, value in vars(signals).items() if isinstance(value, Signal)]
    found = dict(re.findall(r"^``(\w+)``: (.*?)(?:\n\n|\Z)", inspect.getdoc(signals) or "", re.MULTILINE | re.DOTALL))
    return "\n\n".join(f"## `{name}`\n\n{markdown(found[name])}" for name in names)


# The pages, and how a text is put

PARTS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "codes": codes,
    "reasons": reasons,
    "exceptions": exception_classes,
    "checks": system_checks,
    "signals": all_signals,
}


def filled(text: str) -> str:
    """Return a page with its generated parts up to date."""
    for name, part in PARTS.items():
        start, end = f"<!-- {name}: written by python docs/generate.py -->\n", f"<!-- /{name} -->"
        before, marker, rest = text.partition(start)
        if marker:
            text = f"{before}{start}\n{part()}\n\n{end}{rest.partition(end)[2]}"
    return text


def write() -> list[Path]:
    """Write the generated parts into the pages, and write llms.txt. Return the files that changed."""
    changed = []
    for path in [*sorted(DOCS.rglob("*.md")), DOCS / "llms.txt"]:
        old = path.read_text() if path.exists() else ""
        if (new := filled(old) if path.suffix == ".md" else llms("md")) != old:
            path.write_text(new)
            changed.append(path)
    return changed


# llms.txt, the list of pages for language models (llmstxt.org)

TOCTREE = re.compile(r"^```{toctree}\n:caption: (.+)\n(?::.+\n)*\n((?:[^`\n]+\n)+)```$", re.MULTILINE)
PARAGRAPH = re.compile(r"\n\n((?:(?!```|[#|<!-])[^\n]+\n)+)")


def llms(suffix: str) -> str:
    """Return llms.txt: each page of the table of contents with its title, its first sentence, and a link to it."""
    sections = [f"# twotoken\n\n> {first_sentence((ROOT / 'README.md').read_text())}"]
    for caption, names in TOCTREE.findall((DOCS / "index.md").read_text()):
        pages = [page for name in names.split() for page in sorted(DOCS.glob(f"{name}.md"))]
        entries = [_entry(page, suffix) for page in pages if page.parent != DOCS or page.stem == "tutorial"]
        if entries:
            sections.append(f"## {caption}\n\n{items(entries)}")
    return "\n\n".join(sections) + "\n"


def _entry(page: Path, suffix: str) -> str:
    text = page.read_text()
    title = text.partition("\n")[0].removeprefix("# ")
    return f"[{title}]({page.relative_to(DOCS).with_suffix(f'.{suffix}')}): {first_sentence(text)}"


def first_sentence(text: str) -> str:
    """Return the first sentence of a page's first paragraph, with the text of each link in place of the link."""
    match = PARAGRAPH.search(text)
    paragraph = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", " ".join(match[1].split()) if match else "")
    return re.split(r"(?<=[.:]) (?=[A-Z`])", paragraph)[0]


def tree(thing: Any) -> ast.AST:
    """Return the syntax tree of a function's source."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def prose(thing: Any) -> str:
    """Return the docstring of an object as Markdown."""
    return markdown(inspect.getdoc(thing) or "")


def markdown(text: str) -> str:
    """Return a docstring's text as Markdown on one line: code has one backtick on each side instead of two."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def code(text: str) -> str:
    """Return a text as inline code of Markdown."""
    return f"`{text}`"


def slug(heading: str) -> str:
    """Return the anchor of a heading, as code hosts make it for links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def unique(lines: Iterable[str]) -> list[str]:
    """Return the lines without repetitions."""
    return list(dict.fromkeys(lines))


def items(lines: list[str]) -> str:
    """Return the lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print("\n".join(str(path.relative_to(ROOT)) for path in write()) or "Nothing to change.")
