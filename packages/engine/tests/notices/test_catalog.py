"""Translations are complete: every text of the package, no fuzzy one, the same placeholders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from wavebreak.notices.catalog import (
    PACKAGE,
    extract_catalog,
    read_catalog,
    untranslated,
    update_translation,
)
from wavebreak.notices.languages import CATALOGS, LANGUAGES
from wavebreak.notices.rule_texts import load_rule_texts

TRANSLATED = [code for code in LANGUAGES if code != "en"]
CALLS = {"_": 1, "gettext": 1, "msgid": 1, "ngettext": 2, "pgettext": 2}


def texts_of_the_source() -> Iterator[str]:
    """Texts of translating calls, found by the syntax tree and not by babel's own reader."""
    for path in sorted(PACKAGE.glob("*.py")):
        if path.name in ("languages.py", "catalog.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                arguments = node.args[: CALLS.get(name, 0)]
                constants = [a.value for a in arguments if isinstance(a, ast.Constant)]
                yield from map(str, constants[:1])


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w*)\}", text))


def test_extraction_finds_every_text() -> None:
    scanned = set(texts_of_the_source()) | set(load_rule_texts().messages())
    found = {m.id if isinstance(m.id, str) else m.id[0] for m in extract_catalog() if m.id}
    assert len(scanned) > 200
    assert scanned == found


@pytest.mark.parametrize("code", TRANSLATED)
def test_translation_is_complete_and_holds_nothing_else(code: str) -> None:
    assert untranslated(code) == []
    wanted = {m.id for m in extract_catalog() if isinstance(m.id, str)}
    unused = [m.id for m in read_catalog(code) if isinstance(m.id, str) and m.id not in wanted]
    assert unused == []


@pytest.mark.parametrize("code", TRANSLATED)
def test_placeholders_are_those_of_the_source(code: str) -> None:
    checked = 0
    for message in read_catalog(code):
        assert not message.fuzzy
        assert message.id is not None
        if isinstance(message.id, str):
            assert placeholders(message.id) == placeholders(str(message.string)), message.id
        else:
            # One and two are words in Hebrew; the form for many has every placeholder.
            forms = tuple(message.string or ())
            assert placeholders(message.id[1]) == placeholders(forms[-1]), message.id
            assert all(placeholders(form) <= placeholders(message.id[1]) for form in forms)
        checked += 1
    assert checked > 200


def test_hebrew_has_no_latin_words() -> None:
    for message in read_catalog("he"):
        string = message.string or ""
        forms = (string,) if isinstance(string, str) else string
        for form in forms if message.id else ():
            words = re.findall(r"[A-Za-z]+", re.sub(r"\{\w+\}", "", form))
            assert set(words) <= {"UTC"}, form


def test_update_of_a_translation_changes_nothing(tmp_path: Path) -> None:
    shipped = CATALOGS / "he" / "LC_MESSAGES" / "notices.po"
    own = tmp_path / "he" / "LC_MESSAGES" / "notices.po"
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
