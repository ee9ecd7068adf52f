"""What in a text may be personal data: phone numbers, mails, identity numbers and addresses.

Found is what looks like it, in the scripts and words of the languages that pages are read in; a
person decides. An identity number has a word before it that says so, or a form or check digit of
its own; an address has a word for a street and a number, or a word that says that one follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from wavebreak_cases.claims.page_text import find_contact_details

Kind = Literal["phone", "mail", "identity", "address"]
KINDS: tuple[Kind, ...] = ("phone", "mail", "identity", "address")

_IDENTITY_WORDS = (
    "identity (?:number|card)", "national id", r"id(?: number| no\.?| card)?",
    "passport(?: no\\.?)?",
    "ssn", "social security (?:number|no\\.?)", "tax id",
    "cpf", "rg", "cnpj", "dni", "nie", "nif", "curp", "c[ée]dula", "pasaporte", "passaporte",
    "passeport", "carte d'identité", "personalausweis(?:nummer)?", "ausweisnummer", "reisepass",
    "codice fiscale", "ת[\"״]?ז", r"ת\.\s?ז\.?", "תעודת זהות", "מספר זהות", "דרכון",
    "паспорт", "снилс", "инн", "удостоверение", "паспортные данные",
    "رقم الهوية", "هوية", "الرقم القومي", "جواز سفر", "رقم الجواز",
    "ταυτότητα", "α\\.?δ\\.?τ\\.?", "αφμ", "διαβατήριο",
    "aadhaar", "आधार", "पासपोर्ट", "pan(?: card| number| no\\.?)?",
)  # fmt: skip
_IDENTITY = re.compile(
    rf"(?<!\w)(?:{'|'.join(_IDENTITY_WORDS)})(?!\w)[^\w\n]{{1,6}}(?:(?:no|nº|n°|№|number|מס'?|номер|رقم)"
    r"[^\w\n]{0,3})?(?P<it>[^\W\d_]{0,5}[ -]?\d[\d ./-]{2,18}\d(?:[^\W\d_](?!\w))?"
    r"|(?=[^\W_]*\d)[A-Z0-9]{8,16})(?!\w)",
    re.IGNORECASE,
)
_FORMS = re.compile(
    r"(?<![\w.,-])(?:(?P<ssn>\d{3}-\d{2}-\d{4})|(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2})"
    r"|(?P<snils>\d{3}-\d{3}-\d{3} \d{2})|(?P<israel>\d{8}-?\d)|(?P<aadhaar>\d{4} \d{4} \d{4}))"
    r"(?![\w-])"
)
_NAME, _NUMBER = r"[^\W\d_][\w.'’״\"-]*", r"\d{1,5}(?:[-/]\d{1,4})?[^\W\d_]?(?!\w)"
_CAPITAL = r"[A-ZÀ-ÞА-ЯЁΑ-Ω][\w'’-]*"
_PLACE = r"[^\W\d_a-z][\w'’״\"-]*"
"""A word that no small Latin letter begins: letters of other scripts may have no case."""
_CITY = rf"(?:,[ \t]*{_PLACE}(?:[ \t](?=[A-Z]){_PLACE})?)?"
_AFTER = (
    "street", "st\\.", "road", "rd\\.?", "avenue", "ave\\.?", "lane", "drive", "boulevard",
    "blvd\\.?", "square", "terrace", "crescent", "way", "court", "place",
)  # fmt: skip
_BEFORE = (
    "rua", "avenida", "av\\.", "travessa", "calle", "carrera", "paseo", "plaza", "rue",
    "boulevard", "via", "viale", "piazza", "corso",
    "[בלמ]?רחוב", "[בלמ]?רח['׳]", "[בלמ]?שדרות", "[בלמ]?שד['׳]", "סמטת",
    "улица", "ул\\.", "проспект", "просп\\.", "пр-т", "переулок", "пер\\.", "бульвар",
    "шоссе", "вулиця", "вул\\.", "شارع", "طريق", "ميدان",
    "οδός", "οδού", "λεωφόρος", "λεωφόρου", "πλατεία",
)  # fmt: skip
_LABELS = ("address", "כתובת", "адрес", "العنوان", "عنوان", "διεύθυνση", "endereço", "dirección",
           "domicilio", "adresse", "indirizzo", "पता")  # fmt: skip
_ADDRESSES = (
    re.compile(
        rf"(?<![\w.,]){_NUMBER}[ \t]+(?:{_CAPITAL}[ \t]+){{1,4}}"
        rf"(?i:{'|'.join(_AFTER)})(?!\w){_CITY}"
    ),
    re.compile(
        rf"(?<!\w)(?:{'|'.join(_BEFORE)})[ \t]*(?:{_NAME},?[ \t]+){{1,5}}"
        rf"(?:(?:д\.|дом|n[ºo°.]*|nr\.?|رقم)[ \t]*)?{_NUMBER}"
        rf"(?:,?[ \t]*(?:кв\.|דירה|apt\.?)[ \t]*\d{{1,4}})?{_CITY}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<!\w)[^\W\d_]{{3,30}}(?:straße|strasse|str\.|gasse|allee|weg|platz)[ \t]+{_NUMBER}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<!\w)(?:{'|'.join(_LABELS)})[ \t]*[:：][ \t]*(?P<it>[^\n]{{5,100}})", re.IGNORECASE
    ),
)


def find_personal_data(text: str) -> Iterator[tuple[Kind, int, int]]:
    """Find what may be personal data in a text, where it is, in its order; nothing twice.

    >>> found = find_personal_data("ID 12345678-2, 12 High Street, London; 03-555-0100")
    >>> [kind for kind, _, _ in found]
    ['identity', 'address', 'phone']
    """
    found: list[tuple[int, int, Kind]] = []
    for match in _IDENTITY.finditer(text):
        found.append((*match.span("it"), "identity"))
    for match in _FORMS.finditer(text):
        if match.lastgroup != "israel" or _is_israeli(match[0]):
            found.append((*match.span(), "identity"))
    for pattern in _ADDRESSES:
        group = "it" if "it" in pattern.groupindex else 0
        found += [(*match.span(group), "address") for match in pattern.finditer(text)]
    found += [(start, end, what) for what, start, end in find_contact_details(text)]
    # What was found first names the kind: an identity number may look like that of a telephone.
    order = {"mail": 0, "identity": 1, "phone": 2, "address": 3}
    kept: list[tuple[int, int, Kind]] = []
    for start, end, what in sorted(found, key=lambda each: (order[each[2]], each[0] - each[1])):
        if not any(start < last and first < end for first, last, _ in kept):
            kept.append((start, end, what))
    for start, end, what in sorted(kept):
        yield what, start, end


def _is_israeli(text: str) -> bool:
    """Whether nine digits are an Israeli identity number, by their check digit.

    >>> _is_israeli("12345678-2"), _is_israeli("123456789")
    (True, False)
    """
    digits = [int(digit) for digit in text if digit.isdigit()]
    doubled = [digit * (1 + at % 2) for at, digit in enumerate(digits)]
    return sum(each // 10 + each % 10 for each in doubled) % 10 == 0
