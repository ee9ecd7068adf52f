"""A language is added by data alone: its entry in the registry, and its catalogue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import pseudo_language
from support.pseudo_language import CODE, ENTRY

UPDATE = f"from wavebreak.notices.catalog import update_translation; update_translation({CODE!r})"
CHECK = f"from wavebreak.languages import get_language; get_language({CODE!r})"


def python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a copy of the package before the package itself."""
    places = [str(copy), *filter(None, sys.path)]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the pseudo-language in its registry, and not translated."""
    place = tmp_path_factory.mktemp("copy")
    locale = pseudo_language.copy_package(place)
    with (locale / "languages.toml").open("a", encoding="utf-8") as registry:
        registry.write(ENTRY)
    return place


@pytest.fixture(scope="module")
def rendered(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is rendered in it, once its catalogue is written."""
    home = tmp_path_factory.mktemp("rendered")
    missing = python(copy, "-c", CHECK)
    assert f"languages.toml: {CODE} has no catalogue wavebreak.po" in missing.stderr
    assert python(copy, "-c", UPDATE).returncode == 0
    catalog = copy / "wavebreak" / "policy" / "locale" / CODE / "LC_MESSAGES" / "wavebreak.po"
    assert pseudo_language.translate(catalog) > 700
    run = python(copy, "-m", "support.pseudo_language", CODE, str(home))
    assert run.returncode == 0, run.stderr[-2000:]
    made: dict[str, Any] = json.loads((home / "rendered.json").read_text("utf-8"))
    assert made["package"] == str(copy / "wavebreak")
    return made


def test_pseudo_language_is_offered_beside_the_others(rendered: dict[str, Any]) -> None:
    assert [CODE, "⟦Pseudo⟧", "rtl"] in rendered["offered"]
    assert rendered["offered"][-1][0] == CODE


def test_statement_and_notice_are_in_the_pseudo_language(rendered: dict[str, Any]) -> None:
    assert rendered["statement"]["direction"] == "rtl"
    assert rendered["statement"]["title"].startswith("⟦")
    assert "⟦" in json.dumps(rendered["short_notice"], ensure_ascii=False)
    assert all(section["heading"].startswith("⟦") for section in rendered["help"]["sections"])


def test_public_page_is_in_the_pseudo_language(rendered: dict[str, Any]) -> None:
    assert f'<html lang="{CODE}" dir="rtl">' in rendered["page"]
    assert rendered["help"]["title"] in rendered["page"]


def test_letter_is_in_the_pseudo_language(rendered: dict[str, Any]) -> None:
    letter = rendered["letter"]
    assert all(words.startswith("⟦") for words in (letter["subject"], *letter["paragraphs"]))
    # A draft in JSON, a zip archive that is the DOCX, and a PDF.
    assert rendered["letter_starts"] == ["25504446", "504b0304", "7b0a2022"]


def test_reasons_are_rendered_from_what_is_sealed(rendered: dict[str, Any]) -> None:
    assert len(rendered["sentences"]) > 5
    assert all(sentence.startswith("⟦") for sentence in rendered["sentences"])


def test_report_and_forms_are_in_the_pseudo_language(rendered: dict[str, Any]) -> None:
    assert rendered["report_starts"] == rendered["certificates_starts"] == b"%PDF".hex()
    assert rendered["report"]["direction"] == rendered["certificates"]["direction"] == "rtl"
    assert all(section["title"].startswith("⟦") for section in rendered["report"]["sections"])
    assert {form["language"] for form in rendered["forms"]} == {CODE}
    assert all(form["title"].startswith("⟦") for form in rendered["forms"])
