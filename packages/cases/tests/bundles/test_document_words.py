"""Words of documents: one word for one thing in Hebrew, counts in the singular, names of languages.

What a reader of Hebrew found wrong is listed here, so that no later text brings it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from babel.messages.pofile import read_po

from wavebreak.languages import CATALOGS, DOMAIN
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.notices import Language

DOCUMENTS = ("report.", "reasons.", "certificates.", "notices.")

# A wrong word or phrase, and what it is instead.
WRONG = {
    r"עמד(ה)? ב(כללים|ציון)": "“complied with”, for its opposite",
    r"ונראה ש|נראה שהדבר": "lowers the standard of proof: והוכח",
    r"(?<!\w)ערר(?!\w)": "one word for an appeal: ערעור",
    r"רכישת מבחן": "one word for a test purchase: רכישת ניסיון",
    r"גיבוב": "one word for a digest: תמצית",
    r"שרשרת (ה)?(משמורת|מוצג)": "one word for custody: משמורת",
    r"תיעוד (ה)?עמוד": "one word for a capture: לכידה",
    r"שננקב": "of a date that was set: שנקבע",
    r"בקשר בקשר|בקשר \$strength": "the strength says “by a tie” itself",
    r"(?<!\w)קודם של": "of a predecessor: גוף קודם",
    r"עסק ב$|סייע לאחרים ב$": "a preposition that only the first of two nouns has",
    r"\$(reports|times|attempted|n|exhibits) (פעמים|מוצגים|הודעות)": "a count without its noun",
    r"(?<!\u2066)902\(": "a number with brackets, not isolated",
    r"אני מצהיר[ ,]": "a form for a man alone",
    r"^\$by (אישר|מצא|דחה|לא אישר)": "a verb for a man alone",
}


def texts() -> Iterator[tuple[str, str]]:
    """The Hebrew of each text of a document, by its place."""
    with (CATALOGS / "he" / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        for message in read_po(file, domain=DOMAIN):
            if str(message.context or "").startswith(DOCUMENTS):
                yield str(message.context), str(message.string)


@pytest.mark.parametrize("pattern", WRONG)
def test_hebrew_has_none_of_the_faults_that_were_found(pattern: str) -> None:
    nouns = ("report.nouns.",)
    found = [
        (place, words)
        for place, words in texts()
        if not place.startswith(nouns) and re.search(pattern, words)
    ]
    assert found == [], WRONG[pattern]


def test_every_text_of_a_document_is_translated() -> None:
    assert [place for place, words in texts() if not words.strip()] == []
    assert len(list(texts())) > 500


@pytest.mark.parametrize(
    ("language", "noun", "one", "many"),
    [
        ("en", "time", "once", "2,000 times"), ("he", "time", "פעם אחת", "2,000 פעמים"),
        ("en", "exhibit", "1 exhibit", "2,000 exhibits"),
        ("he", "exhibit", "מוצג אחד", "2,000 מוצגים"),
        ("en", "message", "1 message", "2,000 messages"),
        ("he", "message", "הודעה אחת", "2,000 הודעות"),
        ("en", "event", "1 event", "2,000 events"), ("he", "decision", "החלטה אחת", "2,000 החלטות"),
    ],
)  # fmt: skip
def test_counts_agree_with_their_nouns(language: Language, noun: str, one: str, many: str) -> None:
    words = ReportText(language)
    assert (words.count(noun, 1), words.count(noun, 2_000)) == (one, many)


def test_two_kinds_of_conduct_are_joined_without_a_preposition() -> None:
    words = ReportText("he")
    joined = words.tie("automated") + f" {words.tie('bulk')}"
    assert words.tie("engaged") + joined == ("ביצע משלוח הודעות אוטומטי משלוח הודעות בתפוצה רחבה")


def test_languages_have_names() -> None:
    assert [ReportText("en").tongue(code) for code in ("he", "ara", "xx")] == [
        "Hebrew", "Arabic", "xx",
    ]  # fmt: skip
    assert ReportText("he").tongue("heb") == "עברית"
