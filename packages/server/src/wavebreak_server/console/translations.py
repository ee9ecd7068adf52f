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
from functools import cache
from gettext import GNUTranslations
from pathlib import Path
from typing import Any

from django.http import HttpRequest
from django.utils.translation import trans_real
from django.utils.translation.template import templatize

from wavebreak.extras import LazyModule
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE, negotiate, read_catalog
from wavebreak.notices.catalog import untranslated, update_translation
from wavebreak_server.console.plugins import installed_plugins

_messages, _extract = LazyModule("babel.messages"), LazyModule("babel.messages.extract")
_compiler = LazyModule("babel.messages.mofile")
DOMAIN = "console"
CONSOLE = Path(__file__).resolve().parent
CATALOGS = CONSOLE / "locale"
_PYTHON = {"translate": None, "translate_count": (1, 2), "msgid": None}
_TEMPLATE = {"_": None, "gettext": None, "ngettext": (1, 2)}
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
    """Return the language of a page: that of the person, else of the browser, else English."""
    chosen = getattr(getattr(request, "user", None), "language", "")
    if chosen in console_languages():
        return str(chosen)
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


def extract_texts(package: Path, root: Path | None = None) -> Any:
    """Return the texts of a package: of the templates in it, and of the modules below `root`.

    Args:
        package: The package of the pages.
        root: Where their distribution begins (default: the package).

    >>> len(extract_texts(CONSOLE)) > 100
    True
    """
    found = _messages.Catalog(domain=DOMAIN, fuzzy=False)
    for path in sorted(package.rglob("templates/**/*.html")):
        if _OWN_PAGES not in path.parts:
            for message in template_texts(path.read_text("utf-8")):
                found.add(message)
    for path in sorted((root or package).rglob("*.py")):
        with path.open("rb") as source:
            for _, message, _, _ in _extract.extract("python", source, _PYTHON):
                if message != "" and all(message):
                    found.add(message)
    return found


def template_texts(source: str) -> list[str | tuple[str, str]]:
    """Return the texts of a template; a text with a plural is a pair.

    >>> template_texts('{% translate "Queue" %} {{ a|default:_("none") }}')
    ['Queue', 'none']
    """
    # What is no text becomes a row of X, which is no Python: the rules of JavaScript are laxer.
    code = io.BytesIO(templatize(source).encode())
    return [text for _, text, _, _ in _extract.extract("javascript", code, _TEMPLATE)]


def _distributions() -> list[tuple[Path, Path]]:
    """Return each package of pages with where its distribution's modules with texts begin."""
    plugins = (Path(plugin.path) for plugin in installed_plugins())
    return [(CONSOLE, CONSOLE.parent), *((path, path) for path in plugins)]


def untranslated_texts(language: str) -> list[str]:
    """Return the texts of the console and of its plug-ins without a translation in a language."""
    return [
        text
        for package, root in _distributions()
        for text in untranslated(language, package / "locale", extract_texts(package, root), DOMAIN)
    ]


def update_translations(language: str) -> list[Path]:
    """Write a language's files with today's texts: `wavebreak.notices.catalog` says how."""
    return [
        update_translation(language, package / "locale", extract_texts(package, root), DOMAIN)
        for package, root in _distributions()
    ]
