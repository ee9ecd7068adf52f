"""The texts to translate, of this package and of the policy's tables, and missing translations.

>>> print(untranslated("he"))
[]
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wavebreak import config
from wavebreak.extras import LazyModule
from wavebreak.features.catalog import FEATURES, NAMES
from wavebreak.features.descriptions import BARE_UNITS, DESCRIPTIONS, title_texts, unit_forms
from wavebreak.languages import CATALOGS, DOMAIN, SOURCE_LANGUAGE, read_catalog
from wavebreak.linking.operators import SENTENCES
from wavebreak.notices.help import help_texts
from wavebreak.notices.platform import FILE as PLATFORM
from wavebreak.notices.reasons import load_rule_texts
from wavebreak.notices.texts import TEXTS
from wavebreak.outcomes import TABLE as OUTCOMES
from wavebreak.schema.events import CHANNELS, LANES

_messages, _extract = LazyModule("babel.messages"), LazyModule("babel.messages.extract")
_files = LazyModule("babel.messages.pofile")
PACKAGE = Path(__file__).resolve().parent
_SOURCES = (
    "notices/*.py",
    "explain/narrative.py",
    "features/descriptions.py",
    "reports/tables.py",
)
"""Modules with texts; those of tables that others read come from the tables."""
_KEYWORDS = {
    "_": None,
    "gettext": None,
    "msgid": None,
    "msgids": (1, 2),
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}
_DATE = datetime(2026, 11, 27, tzinfo=UTC)
_TABLES = ("report", "reasons", "notices", "certificates")
"""Tables of `policy/cases` that hold texts: `Language.translate_table` gives each in a language."""


def table_texts() -> Iterator[tuple[str, str]]:
    """Yield each text of the policy's tables with the context, which is the place in the table."""
    for table in _TABLES:
        yield from texts_of(table, config.read_toml(config.resolve_path(f"cases/{table}.toml")))
    platform = config.read_toml(config.resolve_path(PLATFORM))
    yield from texts_of(
        "platform", {field: platform[field] for field in ("name", "contact", "terms", "redress")}
    )


def source_paths() -> list[Path]:
    """Return the modules with calls that mark texts, except this module, which has examples."""
    paths = sorted(path for pattern in _SOURCES for path in PACKAGE.parent.glob(pattern))
    return [path for path in paths if path != Path(__file__).resolve()]


def measure_texts() -> Iterator[str | tuple[str, str]]:
    """Yield titles, sentences and values of measures, outcomes, and texts of ties."""
    yield from DESCRIPTIONS.values()
    yield from title_texts(NAMES)
    units = dict.fromkeys(feature.unit for feature in FEATURES)
    yield from (unit_forms(unit) for unit in units if unit not in BARE_UNITS)
    yield from (word.replace("_", " ") for word in (*CHANNELS, *LANES))
    yield from (text for row in OUTCOMES for text in (row.name, row.state))
    yield from SENTENCES.values()


def texts_of(context: str, texts: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts of a table; an entry of a list is named by the id, else by the place."""
    if isinstance(texts, dict) and SOURCE_LANGUAGE in texts:
        yield from texts_of(context, texts[SOURCE_LANGUAGE])
    elif isinstance(texts, dict):
        for key, text in texts.items():
            yield from texts_of(f"{context}.{key}", text)
    elif isinstance(texts, list):
        for n, text in enumerate(texts):
            if isinstance(text, dict):
                fields = {key: text[key] for key in text if key not in ("id", "language")}
                yield from texts_of(f"{context}.{text['id']}", fields)
            else:
                yield from texts_of(f"{context}.{n}", text)
    elif isinstance(texts, str):
        yield context, texts


def holder_texts() -> Iterator[str]:
    """Yield the texts of rules, statements and pages in files."""
    yield from load_rule_texts().messages()
    yield from (text for table in TEXTS.values() for text in table.values())
    yield from help_texts()


def catalog_of(texts: Iterable[tuple[str, str]]) -> Any:
    """Return a catalog of a table's texts, each with a context."""
    catalog = _messages.Catalog(fuzzy=False)
    for context, text in texts:
        catalog.add(text, context=context)
    return catalog


def holder_catalog() -> Any:
    """Return the texts that account holders may read: of notices, of rules and of the tables."""
    catalog = _messages.Catalog(domain=DOMAIN, fuzzy=False)
    _add_marked(catalog, (path for path in source_paths() if path.parent == PACKAGE))
    for message in holder_texts():
        catalog.add(message)
    for context, text in table_texts():
        catalog.add(text, context=context)
    return catalog


def extract_catalog() -> Any:
    """Return every text to translate: for account holders, and for staff alone.

    >>> len(extract_catalog()) > len(holder_catalog()) > 100
    True
    """
    catalog = holder_catalog()
    _add_marked(catalog, (path for path in source_paths() if path.parent != PACKAGE))
    for message in measure_texts():
        catalog.add(message)
    return catalog


def _add_marked(catalog: Any, paths: Iterable[Path]) -> None:
    """Add the texts that the calls of modules mark."""
    for path in paths:
        with path.open("rb") as source:
            for _, message, _, context in _extract.extract("python", source, _KEYWORDS):
                catalog.add(message, context=context)


def _is_translated(catalog: Any, text: Sequence[str], context: str | None) -> bool:
    message = catalog.get(text if isinstance(text, str) else text[0], context)
    if message is None or message.fuzzy:
        return False
    forms = message.string if isinstance(message.string, tuple) else (message.string,)
    form_count = 1 if isinstance(text, str) else catalog.num_plurals
    return len(forms) == form_count and all(forms)


def untranslated(
    language: str, directory: Path = CATALOGS, messages: Any = None, domain: str = DOMAIN
) -> list[str]:
    """Return the texts without a translation in a language; a fuzzy one is none.

    Args:
        language: The language's code.
        directory: Where the translations are.
        messages: The texts of another distribution (default: `extract_catalog`).
        domain: The name of the translations' files.
    """
    catalog = read_catalog(language, directory, domain)
    return [
        message.id if isinstance(message.id, str) else message.id[0]
        for message in messages or extract_catalog()
        if message.id and not _is_translated(catalog, message.id, message.context)
    ]


def update_translation(
    language: str, directory: Path = CATALOGS, messages: Any = None, domain: str = DOMAIN
) -> Path:
    """Write a language's file with today's texts, and return the path.

    Translations that exist are kept, new texts are empty, texts no longer used are dropped. The
    arguments are those of `untranslated`.
    """
    path = directory / language / "LC_MESSAGES" / f"{domain}.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    previous: Any = None
    if path.exists():
        with path.open("rb") as file:
            previous = _files.read_po(file, domain=domain)
    catalog = _empty(language, domain)
    for message in messages or extract_catalog():
        if message.id:
            text = message.id if isinstance(message.id, str) else message.id[0]
            old = previous.get(text, message.context) if previous is not None else None
            string = old.string if old is not None and not old.fuzzy else None
            catalog.add(message.id, string, context=message.context)
    path.write_bytes(_encode(catalog))
    return path


def _empty(language: str, domain: str) -> Any:
    """Return a catalog with fixed dates in the header: the same texts give the same file."""
    return _messages.Catalog(
        locale=language,
        domain=domain,
        header_comment=f"# Wavebreak: every text in language {language}.",
        project="wavebreak",
        version="1",
        msgid_bugs_address="SECURITY.md",
        last_translator="the Wavebreak project",
        language_team=language,
        creation_date=_DATE,
        revision_date=_DATE,
        fuzzy=False,
    )


def _encode(catalog: Any) -> bytes:
    """Encode a catalog, without the line that names the writer's version."""
    buffer = io.BytesIO()
    _files.write_po(buffer, catalog, width=100, sort_output=True, no_location=True)
    lines = buffer.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b'"Generated-By'))
