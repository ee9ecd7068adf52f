"""The labelled claims corpus: pages with claims and benign look-alikes, in six languages.

The texts in `pages/*.toml` are written by hand, in families; companies, people, numbers and
addresses are invented. Each text is generated as several pages: with other slots and other markup,
some of the claims with zero-width characters and look-alike letters. The same files give the same
bytes. The split `development` is what the shipped weights were learned from and the vocabulary was
written with; `heldout` is only evaluated.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak import config
from wavebreak_cases.claims.evaluation import (
    FIELDS,
    LABELS,
    READ_AT,
    PageResult,
    compare_fields,
    summarize_reasons,
)
from wavebreak_cases.claims.page_text import parse_html
from wavebreak_cases.claims.reader import read

PAGES = Path(__file__).with_name("pages")
VARIANTS = 2
"""Pages made of each text."""

_COUNTS = (2_000, 5_000, 8_000, 10_000, 15_000, 20_000, 30_000, 50_000, 80_000, 100_000, 250_000)
_BRAND_STEMS = (
    "Zap", "Volt", "Nimbo", "Kora", "Pulso", "Tarka", "Orbi", "Mela", "Sando", "Quill", "Vanta",
    "Lumo", "Rapi", "Dasha", "Bravi", "Toko", "Gali", "Nexa", "Piro", "Huma",
)  # fmt: skip
_BRAND_ENDINGS = ("Cast", "Line", "Reach", "Hub", "Desk", "Flow", "Labs", "Point", "Via", "Mark")
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
_THOUSANDS = {
    "en": ("{} thousand", "{}k"), "he": ("{} אלף",), "pt": ("{} mil",), "es": ("{} mil",),
    "hi": ("{} हजार",), "id": ("{} ribu", "{}rb"),
}  # fmt: skip
_NAVIGATION = {
    "en": "Home · About · Contact · Privacy", "he": "בית · אודות · צור קשר · פרטיות",
    "pt": "Início · Sobre · Contato · Privacidade",
    "es": "Inicio · Nosotros · Contacto · Privacidad",
    "hi": "होम · परिचय · संपर्क · गोपनीयता", "id": "Beranda · Tentang · Kontak · Privasi",
}  # fmt: skip
_COUNTRY_CODES = ("55", "972", "91", "62", "52")
_LOOKALIKES = str.maketrans("aeopcx", "аеорсх")


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One hand-written text; `says` is what it states, by `claims.FIELDS`."""

    language: str
    text: str
    says: dict[str, tuple[str, ...]] = {}


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts of one kind, whose pages are always in the same split."""

    name: str
    page: tuple[Text, ...]
    kind: str = ""


class CorpusFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of families, all of one split and one label."""

    split: Literal["development", "heldout"]
    label: Literal["claim", "benign"]
    family: tuple[Family, ...]


class CorpusPage(msgspec.Struct, frozen=True):
    """A generated page: file name, HTML and labels; `text` numbers the text within its family."""

    file: str
    html: str
    label: str
    family: str
    language: str
    split: str
    text: int
    kind: str
    says: dict[str, tuple[str, ...]]


def read_files() -> dict[str, CorpusFile]:
    """Read the corpus: its files by name, in the order of the names."""
    return {
        path.stem: config.load_config(path, CorpusFile) for path in sorted(PAGES.glob("*.toml"))
    }


def generate_pages(variants: int = VARIANTS) -> Iterator[CorpusPage]:
    """Generate all pages of the corpus: `variants` of each text."""
    for source in read_files().values():
        for family in source.family:
            for number, text in enumerate(family.page):
                for variant in range(variants):
                    yield _generate_page(source, family, number, text, variant)


def _generate_page(
    source: CorpusFile, family: Family, number: int, text: Text, variant: int
) -> CorpusPage:
    name = f"{family.name}-{number}-{text.language}-{variant}"
    rng = random.Random(name)
    slots = _slots(text.language, rng)
    body = text.text.strip().format_map(slots)
    if source.label == "claim" and variant and rng.random() < 0.4:
        body = _obfuscate(body, rng)
    return CorpusPage(
        f"{name}.html", _markup(body, text.language, rng), source.label, family.name,
        text.language, source.split, number, family.kind or f"{source.label}, other",
        {field: tuple(v.format_map(slots) for v in vs) for field, vs in text.says.items()},
    )  # fmt: skip


def evaluate_corpus(pages: Iterable[CorpusPage]) -> Iterator[PageResult]:
    """Read pages of the corpus and compare the readings with their labels."""
    for page in pages:
        reading = read(parse_html(page.html), READ_AT)
        yield PageResult(
            page.file, page.label, page.family, page.language, page.split, page.kind,
            reading.score, reading.verdict == "claim", summarize_reasons(reading),
            compare_fields(page.says, reading), verdict=reading.verdict,
        )  # fmt: skip


def write_pages(directory: Path) -> int:
    """Write all pages and `labels.csv` into a folder; return how many pages there are."""
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    with (directory / LABELS).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "family", "language", "split", "kind", *FIELDS])
        for page in generate_pages():
            (directory / page.file).write_text(page.html, encoding="utf-8")
            cells = ["; ".join(page.says[f]) or "-" if f in page.says else "" for f in FIELDS]
            labels = [page.label, page.family, page.language, page.split, page.kind]
            rows.writerow([page.file, *labels, *cells])
            count += 1
    return count


def _slots(language: str, rng: random.Random) -> dict[str, str]:
    brand = rng.choice(_BRAND_STEMS) + rng.choice(_BRAND_ENDINGS)
    site = f"{brand.lower()}.example"
    return {
        "brand": brand, "site": site, "mail": f"info@{site}", "handle": f"@{brand.lower()}_desk",
        "phone": f"+{rng.choice(_COUNTRY_CODES)} 555 {rng.randint(1_000_000, 9_999_999)}",
        "n": _count(language, rng), "price": rng.choice(_MONEY[language]),
        "city": rng.choice(_CITIES[language]), "person": rng.choice(_PEOPLE),
    }  # fmt: skip


def _count(language: str, rng: random.Random) -> str:
    value = rng.choice(_COUNTS)
    if rng.random() < 0.3:
        return rng.choice(_THOUSANDS[language]).format(value // 1000)
    return f"{value:,}".replace(",", "." if language in ("pt", "es", "id") else ",")


def _obfuscate(body: str, rng: random.Random) -> str:
    """Obfuscate words as senders do: zero-width characters inside, look-alike letters."""
    words = body.split(" ")
    for index, word in enumerate(words):
        if len(word) > 4 and "@" not in word and "." not in word[:-1] and rng.random() < 0.2:
            middle = len(word) // 2
            start = word[:middle].translate(_LOOKALIKES) if rng.random() < 0.5 else word[:middle]
            words[index] = f"{start}\u200b{word[middle:]}"
    return " ".join(words)


def _markup(body: str, language: str, rng: random.Random) -> str:
    tag = rng.choice(("p", "div"))
    blocks: list[str] = []
    title = ""
    for line in body.splitlines():
        if line.startswith("# "):
            title = title or line[2:]
            blocks.append(f"<h1>{escape(line[2:])}</h1>")
        elif line.startswith("- "):
            blocks.append(f"<ul><li>{escape(line[2:])}</li></ul>")
        else:
            blocks.append(f"<{tag}>{escape(line)}</{tag}>")
    year, month, day = rng.randint(2018, 2025), rng.randint(1, 12), rng.randint(1, 28)
    head = f'<meta property="article:published_time" content="{year}-{month:02}-{day:02}">'
    bar = f"<nav>{_NAVIGATION[language]}</nav>" if rng.random() < 0.5 else ""
    direction = ' dir="rtl"' if language == "he" else ""
    return (
        f'<!doctype html><html lang="{language}"{direction}><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>{head}</head><body>{bar}{''.join(blocks)}"
        f"<footer>© {year}</footer></body></html>\n"
    )
