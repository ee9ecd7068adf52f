"""Adds a pseudo-language to a copy of the package's data, and renders each kind of text in it.

`python -m support.pseudo_language CODE HOME` is run with the copy before the package itself, and
writes what it rendered to HOME/rendered.json.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
from babel.messages.pofile import read_po, write_po

import wavebreak
from support import service_harness
from support.case_workflow import Bench, small_run
from support.console_harness import running_console
from support.notice_decisions import NOW, decision
from wavebreak.languages import offered_languages
from wavebreak.notices import build_statement, get_language, help_page, load_platform, short_notice
from wavebreak_cases.bundles import evidence_intake, letters, report
from wavebreak_cases.bundles.report_settings import Operator, load_settings
from wavebreak_cases.bundles.workspace import load_case

CODE = "qps"
ENTRY = '\n[qps]\nname = "⟦Pseudo⟧"\ndirection = "rtl"\ntexts = true\nformats = "en_001"\n'


def copy_package(directory: Path) -> Path:
    """Copy the package into a directory; return where its languages are."""
    package = Path(wavebreak.__file__).parent
    shutil.copytree(package, directory / "wavebreak", ignore=shutil.ignore_patterns("__pycache__"))
    return directory / "wavebreak" / "policy" / "locale"


def translate(catalog: Path) -> int:
    """Fill every text of a catalogue in with itself between brackets; return how many there are."""
    with catalog.open("rb") as file:
        texts = read_po(file)
    for message in texts:
        if message.id:
            # The number of forms is that of the catalogue's header.
            many = not isinstance(message.id, str)
            form = f"⟦{message.id[-1] if many else message.id}⟧"
            message.string = (form,) * texts.num_plurals if many else form
    with catalog.open("wb") as file:
        write_po(file, texts)
    return len(texts)


async def _public_page(home: Path, code: str) -> str:
    async with running_console(home) as console:
        answer = await console.anybody().get(f"/help/{code}")
        return answer.text


def _case_documents(home: Path, code: str) -> dict[str, Any]:
    """Render a case's report, forms and letter; return what is typeset, and how files begin."""
    bench = Bench(home)
    bench.whole(small_run(home / "small"))
    typeset: dict[str, Any] = {}
    with bench.desk() as at:
        draft = evidence_intake.draft_notice(
            at, "P1", "cease_and_desist", code, operator="Example", contact="a@example.org",
            days=14, policy=None,
        )  # fmt: skip
        files = letters.letter_files(at.case, draft, Operator(name="Example"))
    typeset["letter"] = {"subject": draft.subject, "paragraphs": draft.paragraphs}
    typeset["letter_starts"] = sorted(content[:4].hex() for content in files.values())
    abouts: list[Any] = []

    typeset_file = report.typeset

    def keep(template: Path, about: dict[str, Any], figures: dict[str, bytes], at: int) -> bytes:
        abouts.append(about)
        return typeset_file(template, about, figures, at)

    report.typeset = keep
    case, settings = load_case(bench.case / "case.json")[1], load_settings(code)
    typeset["sentences"] = case.determinations["D1"].value.sentences(code)
    typeset["forms"] = msgspec.to_builtins(settings.forms)
    for name, pdf in (
        ("report", report.render_report(bench.case, case, settings)),
        ("certificates", report.render_certificate_forms(case, settings)),
    ):
        typeset[f"{name}_starts"] = pdf[:4].hex()
    typeset["report"], typeset["certificates"] = abouts
    return typeset


def main(code: str, home: Path) -> None:
    """Render everything in a language."""
    language, platform = get_language(code), load_platform()
    statement = build_statement(decision("limit"), platform=platform, language=language, now_ms=NOW)
    with service_harness.migrated("sqlite", home / "service"):
        page = asyncio.run(_public_page(home / "service", code))
    rendered = {
        "package": str(Path(wavebreak.__file__).parent),
        "offered": [[each.code, each.name, each.direction] for each in offered_languages()],
        "statement": msgspec.to_builtins(statement),
        "short_notice": short_notice("ban", None, language),
        "help": msgspec.to_builtins(help_page(platform, language)),
        "page": page,
        **_case_documents(home, code),
    }
    (home / "rendered.json").write_text(json.dumps(rendered), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
