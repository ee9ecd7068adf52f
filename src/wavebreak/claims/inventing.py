"""The project's own labelled pages: claims and innocent look-alikes, in six languages.

The texts are written by hand, by family, under `policy/claims/pages/`; firms, people, numbers and
addresses are invented. A text becomes several pages: other slots, other markup, and of claims
some with hidden characters and look-alike letters. The same sources give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from html import escape
from typing import Literal

import msgspec

from wavebreak import config

VARIANTS = 2
"""Pages made of each text."""

_COUNTS = (2_000, 5_000, 8_000, 10_000, 15_000, 20_000, 30_000, 50_000, 80_000, 100_000, 250_000)
_STEMS = (
    "Zap", "Volt", "Nimbo", "Kora", "Pulso", "Tarka", "Orbi", "Mela", "Sando", "Quill", "Vanta",
    "Lumo", "Rapi", "Dasha", "Bravi", "Toko", "Gali", "Nexa", "Piro", "Huma",
)  # fmt: skip
_ENDS = ("Cast", "Line", "Reach", "Hub", "Desk", "Flow", "Labs", "Point", "Via", "Mark")
_PEOPLE = ("M. Ferro", "D. Katz", "A. Rao", "L. Prado", "S. Wijaya", "R. Lowell", "N. Azulay")
_CITIES = {
    "en": ("Port Ellery", "Northam"), "he": ("נווה שחף", "קריית דר"),
    "pt": ("Vale Azul", "Serrana"),
    "es": ("Villa Real", "Puerto Claro"),
    "hi": ("रामगढ़", "Sonpur"), "id": ("Tanjung Asri", "Wanasari"),
}  # fmt: skip
_MONEY = {
    "en": ("$25", "USD 40", "£15", "$99"), "he": ("₪120", '90 ש"ח', "49 שקל"),
    "pt": ("R$ 97", "R$ 250,00", "97 reais"), "es": ("$ 300", "25 €", "450 pesos"),
    "hi": ("₹499", "Rs 999", "₹1,500"), "id": ("Rp50.000", "Rp 150 ribu", "Rp75.000"),
}  # fmt: skip
_WORDS = {
    "en": ("{} thousand", "{}k"), "he": ("{} אלף",), "pt": ("{} mil",), "es": ("{} mil",),
    "hi": ("{} हजार",), "id": ("{} ribu", "{}rb"),
}  # fmt: skip
_NAVIGATION = {
    "en": "Home · About · Contact · Privacy", "he": "בית · אודות · צור קשר · פרטיות",
    "pt": "Início · Sobre · Contato · Privacidade",
    "es": "Inicio · Nosotros · Contacto · Privacidad",
    "hi": "होम · परिचय · संपर्क · गोपनीयता", "id": "Beranda · Tentang · Kontak · Privasi",
}  # fmt: skip
_CODES = ("55", "972", "91", "62", "52")
_POSE = str.maketrans("aeopcx", "аеорсх")


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One hand-written text; `says` is what it names, by field: see `saying`."""

    language: str
    text: str
    says: dict[str, tuple[str, ...]] = {}


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts of one kind, whose pages are held out together."""

    name: str
    page: tuple[Text, ...]
    kind: str = ""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of families: which part of the set, which label."""

    half: Literal["known", "held-out"]
    label: Literal["claim", "innocent"]
    family: tuple[Family, ...]


class Invented(msgspec.Struct, frozen=True):
    """A page: file name, HTML, and what it is; `text` numbers the text within its family."""

    file: str
    html: str
    label: str
    family: str
    language: str
    half: str
    text: int
    kind: str
    says: dict[str, tuple[str, ...]]


def sources() -> list[Source]:
    """Read the families, in the order of their files' names."""
    found = sorted(config.chosen("claims/pages").glob("*.toml"))
    return [config.read(path, Source) for path in found]


def invented(variants: int = VARIANTS) -> Iterator[Invented]:
    """Make all pages.

    >>> made = list(invented())
    >>> len(made) >= 200, len({page.file for page in made}) == len(made)
    (True, True)
    """
    for source in sources():
        for family in source.family:
            for number, text in enumerate(family.page):
                for variant in range(variants):
                    name = f"{family.name}-{number}-{text.language}-{variant}"
                    chance = random.Random(name)
                    slots = _slots(text.language, chance)
                    body = text.text.strip().format_map(slots)
                    if source.label == "claim" and variant and chance.random() < 0.4:
                        body = _hidden(body, chance)
                    html = _marked_up(body, text.language, chance)
                    yield Invented(
                        f"{name}.html", html, source.label, family.name, text.language,
                        source.half, number, family.kind or f"{source.label}, other",
                        {k: tuple(v.format_map(slots) for v in vs) for k, vs in text.says.items()},
                    )  # fmt: skip


def _slots(language: str, chance: random.Random) -> dict[str, str]:
    brand = chance.choice(_STEMS) + chance.choice(_ENDS)
    site = f"{brand.lower()}.example"
    return {
        "brand": brand, "site": site, "mail": f"info@{site}", "handle": f"@{brand.lower()}_desk",
        "phone": f"+{chance.choice(_CODES)} 555 {chance.randint(1_000_000, 9_999_999)}",
        "n": _count(language, chance), "price": chance.choice(_MONEY[language]),
        "city": chance.choice(_CITIES[language]), "person": chance.choice(_PEOPLE),
    }  # fmt: skip


def _count(language: str, chance: random.Random) -> str:
    value = chance.choice(_COUNTS)
    if chance.random() < 0.3:
        return chance.choice(_WORDS[language]).format(value // 1000)
    return f"{value:,}".replace(",", "." if language in ("pt", "es", "id") else ",")


def _hidden(body: str, chance: random.Random) -> str:
    """Hide words from filters: zero-width characters inside, look-alike letters."""
    words = body.split(" ")
    for index, word in enumerate(words):
        if len(word) > 4 and "@" not in word and "." not in word[:-1] and chance.random() < 0.2:
            middle = len(word) // 2
            posed = word[:middle].translate(_POSE) if chance.random() < 0.5 else word[:middle]
            words[index] = f"{posed}\u200b{word[middle:]}"
    return " ".join(words)


def _marked_up(body: str, language: str, chance: random.Random) -> str:
    tag = chance.choice(("p", "div"))
    made: list[str] = []
    title = ""
    for line in body.splitlines():
        if line.startswith("# "):
            title = title or line[2:]
            made.append(f"<h1>{escape(line[2:])}</h1>")
        elif line.startswith("- "):
            made.append(f"<ul><li>{escape(line[2:])}</li></ul>")
        else:
            made.append(f"<{tag}>{escape(line)}</{tag}>")
    year, month, day = chance.randint(2018, 2025), chance.randint(1, 12), chance.randint(1, 28)
    head = f'<meta property="article:published_time" content="{year}-{month:02}-{day:02}">'
    bar = f"<nav>{_NAVIGATION[language]}</nav>" if chance.random() < 0.5 else ""
    direction = ' dir="rtl"' if language == "he" else ""
    return (
        f'<!doctype html><html lang="{language}"{direction}><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>{head}</head><body>{bar}{''.join(made)}"
        f"<footer>© {year}</footer></body></html>\n"
    )
