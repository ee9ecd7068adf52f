"""Redaction checked on its output: five scripts, each as text, page, PDF and letters apart.

What is looked for in a copy are the letters and digits alone, in both directions, so that spaces,
marks, final letters and the order of a file hide nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pypdf
import pytest
import typst
from PIL import Image

from wavebreak.reports import charts
from wavebreak_cases.claims import redaction
from wavebreak_cases.claims.exhibits import Actor, add_file
from wavebreak_cases.claims.personal_data import find_personal_data
from wavebreak_cases.claims.redaction import Marks, TextMark, check_copy, redact_exhibit
from wavebreak_cases.claims.term_search import fold_letters

NOA = Actor("Nobody", "here", "a customer, no party", "order 4")
AT = "2026-03-02T09:00:00Z"


class Person(NamedTuple):
    """A customer in a script: name (given, family), phone, mail, identity number, address."""

    given: str
    family: str
    phone: str
    mail: str
    identity: str
    address: str
    words: str
    direction: str = "ltr"

    def text(self) -> str:
        """A page with everything about the person, the name in both orders."""
        return (
            f"{self.words} 80,000.\n{self.given} {self.family}, {self.phone}, {self.mail}.\n"
            f"{self.identity}.\n{self.address}.\n{self.family} {self.given}."
        )

    def secrets(self) -> list[str]:
        """The letters and digits that no copy may hold."""
        shown = (self.given, self.family, self.phone, self.mail.partition("@")[0])
        number = "".join(c for c in self.identity if c.isdigit())
        return [fold_letters(each).letters for each in (*shown, number, self.address)]


PEOPLE = {
    "Latin": Person("Dana", "Levinson", "+972 50-123-4567", "dana.l@home.example",
                    "ID: 012345674", "12 Garden Street, London", "We send bulk messages"),
    "Hebrew": Person("דנה", "לוינסון", "050-123-4567", "dana.l@home.example",
                     "ת.ז. 012345674", "רחוב הגפן 12, חיפה", "אנחנו שולחים הודעות", "rtl"),
    "Arabic": Person("دانا", "الحسيني", "+20 100 555 0199", "dana.h@home.example",
                     "رقم الهوية: 29001011234567", "شارع الزهور 12", "نرسل رسائل", "rtl"),
    "Cyrillic": Person("Дана", "Левинсон", "+7 495 555-01-99", "dana.k@home.example",
                       "Паспорт 4510 123456", "ул. Садовая, д. 12", "Мы рассылаем сообщения"),
    "Greek": Person("Δανάη", "Λεβέντη", "+30 210 555 0199", "danae@home.example",
                    "ΑΦΜ: 123456783", "Οδός Κήπων 12", "Στέλνουμε μηνύματα"),
}  # fmt: skip
HEAD = (
    "#set page(width: 420pt, height: 200pt, margin: 20pt)\n"
    '#set text(font: ("DejaVu Sans", "DejaVu Serif"), size: 10pt)\n'
)


def typeset(source: str, directory: Path) -> bytes:
    path = directory / "page.typ"
    path.write_text(HEAD + source, "utf-8")
    return bytes(typst.compile(path, root=directory, font_paths=[charts.fonts()]))


def as_words(person: Person, directory: Path) -> bytes:
    lines = " \\\n".join(person.text().replace("@", "\\@").splitlines())
    return typeset(f"#set text(dir: {person.direction})\n{lines}", directory)


def as_seen(line: str, direction: str) -> str:
    """A line's characters from left to right, as a reader sees them: numbers and mails run on."""
    if direction == "ltr":
        return line
    return re.sub(r"[+\dA-Za-z][\w+@.-]*", lambda run: run[0][::-1], line, flags=re.ASCII)[::-1]


def letters_apart(person: Person, directory: Path, *, backwards: bool) -> bytes:
    """Every letter is placed by itself, in the order of reading or the other one."""
    placed = []
    for row, line in enumerate(person.text().splitlines()):
        for column, letter in enumerate(as_seen(line, person.direction)):
            shown = letter.replace("@", "\\@")
            if not letter.isspace():
                placed.append(f"#place(top + left, dx: {7 * column}pt, dy: {20 * row}pt)[{shown}]")
    # A file may hold the letters of a line in either order.
    leftward = (person.direction == "rtl") != backwards
    return typeset("\n".join(reversed(placed) if leftward else placed), directory)


FORMS: dict[str, Callable[[Person, Path], bytes]] = {
    "text": lambda person, _place: person.text().encode(),
    "page": lambda person, _place: (
        f"<html><body><p>{person.text().replace(chr(10), '</p><p>')}</p></body></html>".encode()
    ),
    "pdf": as_words,
    "letters": lambda person, place: letters_apart(person, place, backwards=False),
    "backwards": lambda person, place: letters_apart(person, place, backwards=True),
}


def everything(place: Path) -> str:
    """The letters of all that can be read in a directory, and of its file names, both ways."""
    words = [path.name for path in place.iterdir()]
    for path in place.iterdir():
        raw = path.read_bytes()
        if path.suffix == ".pdf":
            words.append(redaction.pdf_text(raw))
        elif path.suffix != ".png":
            words.append(raw.decode("utf-8"))
    letters = fold_letters("\n".join(words)).letters
    return f"{letters} {letters[::-1]}"


@pytest.mark.parametrize("script", PEOPLE)
def test_everything_personal_is_suggested(script: str) -> None:
    person = PEOPLE[script]
    text = person.text()
    found: dict[str, list[str]] = {}
    for kind, start, end in find_personal_data(text):
        found.setdefault(kind, []).append(text[start:end])
    assert found["mail"] == [person.mail]
    assert found["phone"] == [person.phone]
    (number,) = found["identity"]
    assert fold_letters(number).letters in fold_letters(person.identity).letters
    assert sum(c.isdigit() for c in number) == sum(c.isdigit() for c in person.identity)
    assert found["address"] == [person.address]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("script", PEOPLE)
def test_nothing_personal_is_left_in_a_copy(script: str, form: str, tmp_path: Path) -> None:
    person, source = PEOPLE[script], tmp_path / "original"
    add_file(FORMS[form](person, tmp_path), source, NOA, AT, source="a letter")
    plain = [TextMark(kind, person.text()[start:end])
             for kind, start, end in find_personal_data(person.text())]  # fmt: skip
    marks = Marks((*plain, TextMark("name", f"{person.given} {person.family}")))
    made = redact_exhibit(source, tmp_path / "copy", marks, NOA, AT)
    gone = everything(tmp_path / "copy")
    assert [secret for secret in person.secrets() if secret in gone] == []
    assert made.counts["name"] >= 2
    assert check_copy(tmp_path / "copy", made.counts, ()) == []
    if form == "pdf":  # what is not personal is left, and so is white paper
        page = pypdf.PdfReader(tmp_path / "copy" / redaction.PDF).pages[0]
        shown = Image.open(io.BytesIO(page.images[0].data)).convert("L")
        dark = sum(pixel < 60 for pixel in shown.tobytes()) / (shown.width * shown.height)
        assert 0.005 < dark < 0.35


@pytest.mark.parametrize(
    "text",
    ["We send 80,000 messages a day from $99 by 2024-03-02.", "5 messages on the road to success",
     "50 000 messages WhatsApp par jour", "Order 1234567 of 3 March 2026, 14:00"],
)  # fmt: skip
def test_prices_counts_and_dates_are_no_personal_data(text: str) -> None:
    assert list(find_personal_data(text)) == []
