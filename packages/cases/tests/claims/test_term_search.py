"""What was marked is found however another hand, keyboard or form writes it, and no other word."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from wavebreak_cases.bundles.exhibit_redaction import names_in_payload
from wavebreak_cases.claims.redaction import Marks, TextMark, What
from wavebreak_cases.claims.term_search import find_term, hides_term

NAMES = {
    "Arabic drawn out": ("دانا الحسيني", "ســـلام من دانـــا الحسيـــني"),
    "Arabic on another keyboard": ("كريم علي", "دفعت إلى کریم علی"),
    "Arabic without its last dots": ("فاطمة الزهراء يحيى", "من فاطمه الزهراء يحيي"),
    "Arabic with vowels": ("أحمد بلال", "وأَحْمَد بِلَال هنا"),
    "Hindi with joiners": ("दाना शर्मा", "ग्राहक दाना शर्\u200dमा"),
    "Hindi with composed letters": ("ज़ैनब क़ादरी", "ज\u093cैनब क\u093cादरी"),
    "Greek in capitals": ("Δανάη Λεβέντης", "ΛΕΒΕΝΤΗΣ ΔΑΝΑΗ"),
    "Cyrillic without dots": ("Алёна Королёва", "Королева Алена"),
    "Turkish in capitals": ("Işıl Yıldız", "IŞIL YILDIZ"),
    "Turkish on an English keyboard": ("İbrahim Kılıç", "Ibrahim Kilic"),
    "Polish on an English keyboard": ("Łukasz Wałęsa", "LUKASZ WALESA"),
    "Danish as ligatures": ("Søren Ærø", "Soren Aero"),
    "family name first": ("Dana Ruth Levinson", "LEVINSON, Dana Ruth"),
    "family name of two words first": ("Dana de Souza", "de Souza, Dana"),
    "Hebrew family name first": ("דנה רות לוינסון", "לוינסון דנה רות"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_name_is_found_however_it_is_written(kind: str) -> None:
    name, text = NAMES[kind]
    assert find_term(text, name)
    assert hides_term(text, name)


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ("050-1234567", "call +972 50-123-4567 now"),
        ("050-1234567", "00972501234567"),
        ("+972501234567", "call 050-123-4567."),
        ("+972 50 123 4567", "(050) 1234567"),
        ("+44 20 7946 0018", "tel. 020 7946 0018"),
        ("020 7946 0018", "+44 (0)20 7946 0018"),
        ("050-1234567", "٠٥٠-١٢٣٤٥٦٧"),
    ],
)
def test_number_is_found_with_and_without_its_country(marked: str, text: str) -> None:
    spans = find_term(text, marked, number=True)
    left = "".join(c for n, c in enumerate(text) if not any(a <= n < b for a, b in spans))
    assert spans
    assert not any(c.isdigit() for c in left)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("+972 50 123 4567", "5012345678 messages"),
        ("050-1234567", "50123 4567 8"),
        ("03-555-0100", "invoice 35550100"),
        ("Dana Levinson", "Dan Alevin"),
    ],
)
def test_other_numbers_and_names_are_left(term: str, text: str) -> None:
    assert find_term(text, term, number=term[-1].isdigit()) == []


FILES: dict[str, tuple[What, str, str, str]] = {
    "mail in a file name": ("mail", "dana.l@home.example", "dana.l@home.example.txt", "-"),
    "mail in an encoded file name": (
        "mail", "dana.l@home.example", "dana.l%40home.example.pdf", "-"),
    "mail in an encoded address": (
        "mail", "dana.l@home.example", "page.html", "?to=dana.l%40home.example&x=1"),
    "Hebrew name in an encoded address": ("name", "דנה לוין", "urls.csv", quote("לוין דנה")),
    "Hebrew name in escaped JSON": ("name", "דנה לוין", "about.json", json.dumps("דנה לוין")),
    "Arabic name in entities": (
        "name", "كريم علي", "page.html", "&#1603;&#1585;&#1610;&#1605; علي"),
    "phone in a chronology": ("phone", "050-1234567", "chronology.csv", "2026-03-02,+972501234567"),
    "name in a mail": ("name", "Dana Levi", "letter.eml", "From: Dana Levi"),
    "phone in a card": ("phone", "050-1234567", "card.vcf", "TEL:+972-50-1234567"),
    "name in a picture of lines": ("name", "Dana Levi", "map.svg", "<text>Dana Levi</text>"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_file_of_a_payload_that_names_it_is_listed(kind: str, tmp_path: Path) -> None:
    what, text, name, content = FILES[kind]
    (tmp_path / name).write_text(content, "utf-8")
    (tmp_path / "other.txt").write_text("Bulk messages, 80,000 a day", "utf-8")
    (tmp_path / "log.arrow").write_bytes(b"\xff\xfe" + bytes(40))
    assert {
        place.where for place in names_in_payload(tmp_path, Marks((TextMark(what, text),)))
    } == {name}
