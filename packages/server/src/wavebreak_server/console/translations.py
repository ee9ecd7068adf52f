"""Languages of the console: which there are, whose page has which, and what a translation lacks.

A text is marked in a template (`translate`, `blocktranslate`), in Python by
`wavebreak_server.texts`, in a table by `msgid`. Translations are
`locale/<language>/LC_MESSAGES/console.po` of the console and of each plug-in, read as they are when
somebody first asks for the language: there is nothing to compile. They come before Django's own.

>>> untranslated_texts("he")
[]
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from gettext import GNUTranslations
from pathlib import Path
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.translation import trans_real
from django.utils.translation.template import templatize

from wavebreak.extras import LazyModule
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE, negotiate, read_catalog
from wavebreak.notices.catalog import untranslated, update_translation
from wavebreak.outcomes import OUTCOMES
from wavebreak.outcomes import TABLE as OUTCOME_TABLE
from wavebreak.rules import load_policy
from wavebreak_server.console.plugins import installed_plugins, plugin_texts
from wavebreak_server.errors import PROBLEMS

_messages, _extract = LazyModule("babel.messages"), LazyModule("babel.messages.extract")
_compiler = LazyModule("babel.messages.mofile")
DOMAIN = "console"
COOKIE, PARAMETER = "wavebreak_language", "language"
"""Where a browser says which language was chosen on the page that signs in."""
CONSOLE = Path(__file__).resolve().parent
CATALOGS = CONSOLE / "locale"
_PYTHON = {"translate": None, "translate_count": (1, 2), "msgid": None, "msgids": (1, 2)}
_TEMPLATE = {"_": None, "gettext": None, "ngettext": (1, 2)}
_CODES: tuple[tuple[str, ...], ...] = (
    ("registration", "messaging", "feedback", "review"),
    ("doubt", "takeover", "evidence", "impossible", "tie", "person", "challenge"),
    ("benign", "abusive", "undetermined"),
    ("unverified", "open", "decided", "withdrawn", "unchanged", "partially_reversed", "reversed"),
    ("draft", "checked", "replayed", "approved", "live", "retired", "closed", "rejected"),
    ("registered", "compared", "running", "done", "failed", "written", "new", "removed", "changed"),
    ("stopped", "freed", "harsher", "milder"),
    ("decision", "receipt", "override", "appeal", "notice", "label", "link", "erasure"),
    ("device", "number block", "network"),
    ("off", "observe", "delay"),
)
"""Codes that pages show as words: stages, bases, labels, states, kinds of entries, of lists."""
_OWN_PAGES = "public"
"""Templates for account holders: their texts are the notices'."""


@cache
def console_languages() -> tuple[str, ...]:
    """Return the codes of the languages that pages are offered in, English first.

    >>> console_languages()
    ('en', 'he')
    """
    return tuple(c for c in LANGUAGES if c == SOURCE_LANGUAGE or (CATALOGS / c).is_dir())


def language_for(request: HttpRequest) -> str:
    """Return the language of a page: that of the person, else of the browser, else English.

    Who is not signed in may choose one for this browser: in the address, then in a cookie.
    """
    chosen = getattr(getattr(request, "user", None), "language", "")
    return str(chosen) if chosen in console_languages() else browser_language(request)


def browser_language(request: HttpRequest) -> str:
    """Return the language of a page of which nobody is known: the browser's, else English."""
    for language in (request.GET.get(PARAMETER, ""), request.COOKIES.get(COOKIE, "")):
        if language in console_languages():
            return str(language)
    return negotiate(request.headers.get("Accept-Language", ""), console_languages())


@cache
def load_translations(language: str) -> None:
    """Let Django know the translations of a language: the console's and those of its plug-ins."""
    if language == SOURCE_LANGUAGE:
        return
    known = trans_real.translation(language)
    for catalogs in catalog_directories():
        compiled = io.BytesIO()
        _compiler.write_mo(compiled, read_catalog(language, catalogs, DOMAIN))
        compiled.seek(0)
        known.merge(GNUTranslations(compiled))


def catalog_directories() -> list[Path]:
    """Return where the translations of the console and of its plug-ins are."""
    plugins = (Path(plugin.path) / "locale" for plugin in installed_plugins())
    return [CATALOGS, *(path for path in plugins if path.is_dir())]


# What there is to translate


class Texts(NamedTuple):
    """Where the texts of a distribution's pages are.

    Attributes:
        package: The package of the pages, with their templates and translations.
        root: Where the modules with texts begin.
    """

    package: Path
    root: Path
    tables: tuple[str, ...]


def all_texts() -> list[Texts]:
    """Return where texts are: of the console, then of each plug-in."""
    own = Texts(CONSOLE, CONSOLE.parent, tuple(table_texts()))
    plugins = installed_plugins()
    return [own, *(Texts(Path(p.path), Path(p.path), tuple(plugin_texts(p))) for p in plugins)]


def extract_texts(of: Texts) -> Any:
    """Return the texts of a distribution's pages, as a catalogue without translations.

    >>> len(extract_texts(all_texts()[0])) > 100
    True
    """
    found = _messages.Catalog(domain=DOMAIN, fuzzy=False)
    for text in of.tables:
        found.add(text)
    for path in sorted(of.package.rglob("templates/**/*.html")):
        if _OWN_PAGES not in path.parts:
            for message in template_texts(path.read_text("utf-8")):
                found.add(message)
    for path in sorted(of.root.rglob("*.py")):
        with path.open("rb") as source:
            for _, message, _, _ in _extract.extract("python", source, _PYTHON):
                if message != "" and all(message):
                    found.add(message)
    return found


def table_texts() -> Iterator[str]:
    """Yield the texts of the engine's tables and of the service's, which no call marks."""
    yield from OUTCOMES
    for row in OUTCOME_TABLE:
        yield from (row.refusal_words, row.end_words)
    for problem in PROBLEMS.values():
        yield from filter(None, (problem.what, problem.fixes.page))
    yield from (rule.about for rule in load_policy(compiled=False).rules)
    for codes in _CODES:
        for code in codes:
            yield from {code, code.replace("_", " ")}


def template_texts(source: str) -> list[str | tuple[str, str]]:
    """Return the texts of a template; a text with a plural is a pair.

    >>> template_texts('{% translate "Queue" %} {{ a|default:_("none") }}')
    ['Queue', 'none']
    """
    # What is no text becomes a row of X, which is no Python: the rules of JavaScript are laxer.
    code = io.BytesIO(templatize(source).encode())
    return [text for _, text, _, _ in _extract.extract("javascript", code, _TEMPLATE)]


def untranslated_texts(language: str) -> list[str]:
    """Return the texts of the console and of its plug-ins without a translation in a language."""
    return [
        text
        for each in all_texts()
        for text in untranslated(language, each.package / "locale", extract_texts(each), DOMAIN)
    ]


def update_translations(language: str) -> list[Path]:
    """Write a language's files with today's texts: `wavebreak.notices.catalog` says how."""
    return [
        update_translation(language, each.package / "locale", extract_texts(each), DOMAIN)
        for each in all_texts()
    ]
