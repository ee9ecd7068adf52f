"""Every sentence of every document renders a code whose values stand in the case, or is of it.

Report, letters, forms and the reasons of determinations of a full case are taken as they are
typeset. Each text is one of the program's own (a template of the policy's tables), with values that
are in the sealed steps, in an exhibit, or are counted from one; or it is such a value itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import msgspec
import pytest

from support.case_workflow import Bench, small_run
from support.notice_decisions import NOW, decision, decision_of, policy
from wavebreak.durations import DAY_MS
from wavebreak.languages import SOURCE_LANGUAGE, get_language, read_catalog
from wavebreak.notices import Correction, build_statement, load_platform
from wavebreak.notices.catalog import holder_catalog, table_texts
from wavebreak.notices.reasons import load_rule_texts
from wavebreak.outcomes import OUTCOMES
from wavebreak_cases.bundles import evidence_intake, letters, report
from wavebreak_cases.bundles.report_settings import Operator, load_settings
from wavebreak_cases.cases.case import BarRecorded, Case, EvidenceAdded, PartyNamed
from wavebreak_cases.cases.date_ranges import DateRange
from wavebreak_cases.cases.parties import Bar, Basis, Evidence, Party, Strength

LAYOUT = {
    "kind", "file", "label", "language", "direction", "paper", "page", "footer", "pages", "alt",
    "id", "widths", "right", "exhibits",
}  # fmt: skip
"""Keys of a document's values that are no text of it, or the program's own frame."""
VALUE = re.compile(
    r"[\d,.:]+|[PEVNDT]\d+|a-[0-9a-f]{24}|[0-9a-f]{16,128}|R\d|—|●|C-7-\d{6}( –\nC-7-\d{6})?"
    r"|\d{1,2} [A-Z]\w+ \d{4}(, \d\d:\d\d:\d\d)?|SHA-256|([0-9a-f]{8} ?){4}|x{8,}|_+"
    r"|\d{4}-\d\d-\d\d(T[\d:]+Z)?|UTC|\d+ [A-Z]{3}|[A-Z]\w+/[A-Z]\w+"
)
"""Numbers, prices, days, instants, zones, ids, digests: how values are written."""
BREAKS = ("\n", "; ", ", ", " and ", " – ", ": ", " (", ")", ". ")
MAX_DEPTH = 6


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, dict[str, list[str]], str]:
    """The case, the texts of each document, and all words of the case's directory."""
    place = tmp_path_factory.mktemp("full")
    bench = Bench(place)
    bench.whole(small_run(place / "small"))
    rumour = place / "rumour.txt"
    rumour.write_text("Heard of it.")
    operator = Operator("Example Messenger Ltd", ("1 High Street", "Haifa"), "51-1", "legal@m.test")
    kept: dict[str, list[Any]] = {"report": [], "forms": [], "letter": [], "reasons": []}
    with bench.desk() as at, pytest.MonkeyPatch.context() as patch:
        evidence_intake.add_file_exhibit(at, rumour, bench.actor, "investigator", title="Rumour")
        at.take(EvidenceAdded(unconfirmed("E4")), **bench.me)
        at.take(PartyNamed(Party("P2", "company", "Second Firm")), **bench.me)
        receipt = Bar("P2", "settlement", at.clock() - DAY_MS, "E3")
        at.take(BarRecorded(receipt), **bench.me)
        evidence_intake.prepare_determination(at, "P1", None, None, **bench.me)
        draft = evidence_intake.draft_notice(
            at, "P1", "cease_and_desist", "en", operator=operator.name,
            contact=operator.contact, days=10, policy=None, calendar="israel",
        )  # fmt: skip
        case, settings = at.case, load_settings("en")
        settings = msgspec.structs.replace(settings, operator=operator)
        for name in ("report", "forms", "letter"):

            def keep(_template: Path, about: Any, *_given: object, name: str = name) -> bytes:
                kept[name].append(about)
                return b""

            patch.setattr(letters if name == "letter" else report, "typeset", keep)
            if name == "letter":
                letters.letter_files(case, draft, operator)
            elif name == "forms":
                report.render_certificate_forms(case, settings)
            else:
                report.render_report(bench.case, case, settings)
        kept["reasons"] = [list(d.value.sentences("en")) for d in case.determinations.values()]
        words = case_words(bench.case) + msgspec.json.encode(settings.operator).decode()
    return case, {name: list(texts_in(about)) for name, about in kept.items()}, words


def unconfirmed(exhibit: str) -> Evidence:
    span, tie = DateRange(), (Basis.STATEMENT, Strength.STRONG)
    return Evidence("V3", "P1", exhibit, "off_platform", "assisted", span, span, *tie)


def case_words(place: Path) -> str:
    """All that the case's directory says in words: steps, exhibits, custody, readings."""
    files = [*place.glob("case.json"), *place.glob("exhibits/**/*")]
    kinds = (".json", ".jsonl", ".txt", ".html")
    texts = {f: f.read_text("utf-8") for f in files if f.is_file() and f.suffix in kinds}
    said = [
        text
        for file, raw in texts.items()
        for text in (_strings(file, raw) if file.suffix.startswith(".json") else [raw])
    ]
    return "\n".join([*said, *(f.relative_to(place).as_posix() for f in files)])


def _strings(file: Path, raw: str) -> Iterator[str]:
    """The strings of a JSON file, or of one a line."""
    for line in raw.splitlines() if file.suffix == ".jsonl" else [raw]:
        yield from texts_in(msgspec.json.decode(line), layout=frozenset())


def texts_in(about: Any, key: str = "", layout: Collection[str] = LAYOUT) -> Iterator[str]:
    """The texts of a document's values, but for commands."""
    if layout and isinstance(about, dict) and about.get("kind") == "code":
        return
    if isinstance(about, dict):
        for name, value in about.items():
            yield from texts_in(value, name, layout)
    elif isinstance(about, list | tuple):
        for value in about:
            yield from texts_in(value, key, layout)
    elif isinstance(about, str) and about.strip() and key not in layout:
        yield about


class Sources:
    """Finds of a text the template that it renders, and of each value where it stands."""

    def __init__(
        self,
        words: str,
        texts: Collection[str] = (),
        names: re.Pattern[str] = Template.pattern,
    ) -> None:
        self.words = re.sub(r"\s+", " ", words)
        texts = texts or [text for _, text in table_texts()] + list(load_rule_texts().messages())
        lines = {line for text in texts for line in (text, *text.splitlines()) if line.strip()}
        ordered = sorted(lines, key=len, reverse=True)
        self.templates = [tuple(parts(text, names)) for text in ordered]
        self.known: dict[str, bool] = {}

    def known_text(self, text: str, depth: int = 0) -> bool:
        """Whether a text renders a template, or stands in the case."""
        text = text.strip(" .\u200e\u2066\u2067\u2068\u2069")
        if text not in self.known:
            self.known[text] = False
            self.known[text] = (
                not text
                or bool(VALUE.fullmatch(text))
                or (len(text) > 1 and re.sub(r"\s+", " ", text.strip("“”")) in self.words)
                or (depth < MAX_DEPTH and self._renders(text, depth))
                or (depth < MAX_DEPTH and self._renders(text[0].lower() + text[1:], depth))
                or self._is_joined(text, depth)
            )
        return self.known[text]

    def _renders(self, text: str, depth: int) -> bool:
        return any(self._fits(each, text, depth) for each in self.templates)

    def _fits(self, template: tuple[tuple[str, str], ...], text: str, depth: int) -> bool:
        if not template:
            return not text
        (literal, name), rest = template[0], template[1:]
        if not text.startswith(literal):
            return False
        text = text[len(literal) :]
        if not name:
            return not text or text == "."
        following = rest[0][0] if rest else ""
        ends = [len(text)]
        if following:
            ends = [m.start() for m in re.finditer(re.escape(following), text)]
        return any(
            self._fits(rest, text[end:], depth) and self.known_text(text[:end], depth + 1)
            for end in ends
        )

    def _is_joined(self, text: str, depth: int) -> bool:
        for mark in BREAKS:
            pieces = text.split(mark) if depth < MAX_DEPTH else []
            if len(pieces) > 1 and all(self.known_text(piece, depth + 1) for piece in pieces):
                return True
        return False


def parts(text: str, names: re.Pattern[str] = Template.pattern) -> Iterator[tuple[str, str]]:
    """A template as pairs of words and the name of the value after them."""
    at = 0
    text = text.strip(" .")
    for match in names.finditer(text):
        yield text[at : match.start()], match["named"] or match["braced"] or ""
        at = match.end()
    yield text[at:], ""


@cache
def _sources(words: str) -> Sources:
    return Sources(words)


@pytest.mark.parametrize("document", ["report", "forms", "letter", "reasons"])
def test_every_sentence_has_a_source(documents: Any, document: str) -> None:
    _, texts, words = documents
    sources = _sources(words)
    assert len(texts[document]) > 5
    assert [text for text in dict.fromkeys(texts[document]) if not sources.known_text(text)] == []


@pytest.mark.parametrize(
    "planted",
    [
        "Rapid Messages Ltd admitted everything.",
        "Exhibit E4 (“Rumour”), as Noa Bar confirmed: it is a fraud.",
        "On the platform, account a-1 attempted 5 messages and was proud of it.",
    ],
)
def test_sentence_that_nothing_says_has_no_source(documents: Any, planted: str) -> None:
    assert not _sources(documents[2]).known_text(planted)


@pytest.mark.parametrize("document", ["report", "reasons", "forms"])
def test_exhibit_that_nobody_confirmed_is_named_as_such(documents: Any, document: str) -> None:
    _, texts, _ = documents
    said = {
        "report": "document nobody confirmed what it shows",
        "forms": "document nobody confirmed what it shows",
        "reasons": "Exhibit E4 (“Rumour”) is stated to show that Rapid Messages Ltd assisted",
    }
    assert said[document] in re.sub(r"\s+", " ", " ".join(texts[document]))


BRACES = re.compile(r"\{(?P<named>\w+)(?P<braced>)\}")
"""How the texts for account holders name their values."""


@cache
def holder_texts(code: str) -> tuple[str, ...]:
    """Every text that may be said to account holders, in a language; plurals form by form."""
    theirs = [m for m in holder_catalog() if m.id]
    translated = None if code == SOURCE_LANGUAGE else read_catalog(code)
    forms = [m.id if translated is None else translated.get(m.id, m.context).string for m in theirs]
    return tuple(
        text for form in forms for text in ((form,) if isinstance(form, str) else form) if text
    )


def holder_decisions() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A decision of each rule and of each outcome, one held, and one that a person changed."""
    for rule in policy().rules:
        yield decision_of(rule), {}
    for outcome in OUTCOMES:
        yield decision(outcome=outcome), {}
        yield decision(outcome=outcome, basis="person", rules=[]), {}
    yield decision(outcome="challenge", action="recover", basis="takeover"), {}
    changes = (Correction(at_ms=NOW, result="reversed", reason="It was a school's list."),
               Correction(at_ms=NOW, result="unchanged", reason=""))  # fmt: skip
    yield decision(outcome="restrict"), {"corrections": changes}


@pytest.mark.parametrize("code", ["en", "he"])
def test_every_sentence_to_an_account_holder_has_a_source(code: str) -> None:
    language, platform = get_language(code), load_platform()
    unknown = set()
    for made, more in holder_decisions():
        said = build_statement(made, platform=platform, language=language, now_ms=NOW, **more)
        days = [said.restriction.since_ms, said.restriction.until_ms, NOW]
        days += [said.appeal.until_ms] if said.appeal else []
        instants = [language.format_instant(at, said.zone) for at in days if at is not None]
        words = "\n".join([msgspec.json.encode(platform).decode(), *instants,
                           *(each.reason for each in said.corrections)])  # fmt: skip
        sources = Sources(words, holder_texts(code), BRACES)
        lines = [said.title, *(line for each in said.sections for line in each.lines())]
        unknown |= {line for line in lines if not sources.known_text(line)}
    assert unknown == set()


def test_sentence_that_no_code_says_to_a_holder_has_no_source() -> None:
    sources = Sources("", holder_texts("en"), BRACES)
    assert sources.known_text("You cannot start new chats for now")
    assert not sources.known_text("You are a spammer")


def test_reasons_carry_the_counts_of_the_run(documents: Any) -> None:
    counted = [text for text in documents[1]["reasons"] if text.startswith("Counted from")]
    assert counted
    assert all("messages attempted: 130; refused by enforcement: 0" in text for text in counted)


def test_letter_and_summary_say_nothing_of_what_nobody_confirmed(documents: Any) -> None:
    _, texts, _ = documents
    assert not [text for text in texts["letter"] if "Rumour" in text or "E4" in text]
    confirmed = [text for text in texts["report"] if ", as Noa Bar confirmed: " in text]
    assert len(confirmed) == 2
    assert not [text for text in confirmed if "E4" in text]
