"""Translations are complete: every text of the package, no fuzzy one, the same placeholders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from wavebreak.languages import CATALOGS, DOMAIN, LANGUAGES, read_catalog
from wavebreak.notices.catalog import (
    extract_catalog,
    holder_texts,
    measure_texts,
    source_paths,
    table_texts,
    untranslated,
    update_translation,
)

TRANSLATED = [code for code in LANGUAGES if code != "en"]
CALLS = {"_": 1, "gettext": 1, "msgid": 1, "msgids": 2, "ngettext": 2, "pgettext": 2}


def texts_of_the_source() -> Iterator[str]:
    """Texts of translating calls, found by the syntax tree and not by babel's own reader."""
    for path in source_paths():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                arguments = node.args[: CALLS.get(name, 0)]
                constants = [a.value for a in arguments if isinstance(a, ast.Constant)]
                # Of a text with its context the last, of two forms the first.
                yield from map(str, constants[-1:] if name == "pgettext" else constants[:1])


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w*)\}|\$(\w+)", text))


def test_extraction_finds_every_text() -> None:
    tables = {text for _, text in table_texts()}
    measures = {text if isinstance(text, str) else text[0] for text in measure_texts()}
    scanned = set(texts_of_the_source()) | set(holder_texts()) | tables | measures
    found = {m.id if isinstance(m.id, str) else m.id[0] for m in extract_catalog() if m.id}
    assert len(tables) > 400
    assert len(scanned - tables) > 200
    assert scanned == found


@pytest.mark.parametrize("code", TRANSLATED)
def test_translation_is_complete_and_holds_nothing_else(code: str) -> None:
    assert untranslated(code) == []
    wanted = {(m.id, m.context) for m in extract_catalog() if isinstance(m.id, str)}
    there = [(m.id, m.context) for m in read_catalog(code) if isinstance(m.id, str)]
    assert [message for message in there if message not in wanted] == []


@pytest.mark.parametrize("code", TRANSLATED)
def test_placeholders_are_those_of_the_source(code: str) -> None:
    checked = 0
    for message in read_catalog(code):
        assert not message.fuzzy
        assert message.id is not None
        if isinstance(message.id, str):
            there = placeholders(str(message.string))
            supposed = str(message.context).startswith("reasons.supposed.")
            # A supposition of an earlier version is read from its English, and may say less.
            assert there == placeholders(message.id) or (
                supposed and there < placeholders(message.id)
            ), message.id
        else:
            # One and two are words in Hebrew; the form for many has every placeholder.
            forms = tuple(message.string or ())
            assert placeholders(message.id[1]) == placeholders(forms[-1]), message.id
            assert all(placeholders(form) <= placeholders(message.id[1]) for form in forms)
        checked += 1
    assert checked > 200


def test_hebrew_notices_have_no_latin_words() -> None:
    tables = {context for context, _ in table_texts()}
    for message in read_catalog("he"):
        if message.context in tables:
            continue
        string = message.string or ""
        forms = (string,) if isinstance(string, str) else string
        for form in forms if message.id else ():
            words = re.findall(r"[A-Za-z]+", re.sub(r"\{\w+\}", "", form))
            assert set(words) <= {"UTC"}, form


def test_update_of_a_translation_changes_nothing(tmp_path: Path) -> None:
    shipped = CATALOGS / "he" / "LC_MESSAGES" / f"{DOMAIN}.po"
    own = tmp_path / "he" / "LC_MESSAGES" / f"{DOMAIN}.po"
    own.parent.mkdir(parents=True)
    own.write_bytes(shipped.read_bytes())
    assert update_translation("he", tmp_path).read_bytes() == shipped.read_bytes()


def test_new_language_begins_with_every_text_empty(tmp_path: Path) -> None:
    path = update_translation("ru", tmp_path)
    with path.open("rb") as file:
        started = read_po(file, locale="ru")
    messages = [message for message in started if message.id]
    assert len(messages) == len([m for m in extract_catalog() if m.id])
    assert not any("".join(message.string or "") for message in messages)
