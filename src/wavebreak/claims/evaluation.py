"""What a reading names (offers, capacities, prices, contacts …), beside what a page says.

A page's label may say these, each as words parted by semicolons: `capacities` as count/period
(`80000/day`, or `500` where no time is said), `prices` as amount and currency (`40 USD`),
`contacts` as they are written, `channels` that it names (`whatsapp`), `brands`, `offers` (`bulk`,
`numbers` …), and `published` as a day (`2024-03-01`).

Readings against labels: how many claims are found, and how many that are called so are none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wavebreak.claims.inventing import Invented, invented
from wavebreak.claims.page_text import from_html
from wavebreak.claims.reader import Reading, of_file, read, strongest
from wavebreak.errors import ClaimError, FileError

FIELDS = ("offers", "capacities", "prices", "contacts", "channels", "brands", "published")
_LINK = re.compile(r"^(?:https?://)?(?:www\.)?|/$")
_NUMBER = re.compile(r"^[+\d() .-]+$")


class Found(NamedTuple):
    """Of one field: how many are said, how many are read, how many are both."""

    said: int
    read: int
    both: int


def compare(said: Mapping[str, Iterable[str]], made: Reading) -> dict[str, Found]:
    """Count what is read against what is said; a field that the label leaves out is not counted.

    >>> from wavebreak.claims.reader import read
    >>> from wavebreak.claims.page_text import from_text
    >>> made = read(from_text("We send 500 WhatsApp messages a day, $40"), "2026-01-01T00:00:00Z")
    >>> compare({"capacities": ["500/day"], "prices": ["40 USD", "9 USD"]}, made)["prices"]
    Found(said=2, read=1, both=1)
    """
    return {name: _counted(name, set(said[name]), made) for name in FIELDS if name in said}


def _counted(name: str, said: set[str], made: Reading) -> Found:
    if name == "published":
        known = made.published
        first, last = (
            ((known.earliest or "")[:10], (known.latest or "9")[:10]) if known else ("9", "")
        )
        return Found(len(said), int(known is not None), sum(first <= day <= last for day in said))
    if name == "prices":  # a word like peso leaves the currency open
        read = {(money.amount, money.currency) for money in made.prices}
        both = sum(
            any(amount == float(one) and code in several.split("/") for amount, several in read)
            for one, code in (price.split() for price in said)
        )
        return Found(len(said), len(read), both)
    if name == "contacts":
        told, keys = (
            {contact(c) for c in said},
            {contact(c) for v in made.contacts.values() for c in v},
        )
        return Found(len(told), len(keys), len(told & keys))
    read_ones = {
        "offers": set(made.offers),
        "channels": set(made.channels),
        "brands": set(made.brands),
        "capacities": {f"{c.count}/{c.period}".rstrip("/") for c in made.capacities},
    }[name]
    return Found(len(said), len(read_ones), len(said & read_ones))


def contact(written: str) -> str:
    """Bring a way of contact to one form, however it is written.

    >>> contact("+55 (11) 9000-1"), contact("https://T.me/Shop/"), contact("@Shop")
    ('551190001', 't.me/shop', '@shop')
    """
    text = written.strip().lower()
    if _NUMBER.match(text):
        return re.sub(r"\D", "", text).removeprefix("00")
    return _LINK.sub("", text).removeprefix("mailto:").removeprefix("tel:")


def added(counts: Iterable[Mapping[str, Found]]) -> dict[str, Found]:
    """Add up the counts of several pages, by field."""
    total: dict[str, Found] = {}
    for page in counts:
        for name, found in page.items():
            old = total.get(name, Found(0, 0, 0))
            total[name] = Found(*(a + b for a, b in zip(old, found, strict=True)))
    return {name: total[name] for name in FIELDS if name in total}


LABELS = "labels.csv"
_REASONS = 3
_AT = "2026-01-01T00:00:00Z"
_MOST_BYTES = 50_000_000
_CLAIM = {"claim", "abusive", "1", "true", "yes"}
_INNOCENT = {"innocent", "benign", "0", "false", "no"}


@dataclass(frozen=True)
class Judgement:
    """One labelled page and what is made of it.

    `why` are the strongest reasons, `fields` what is read of what the label says, `error` tells why
    the page could not be read.
    """

    file: str
    label: str
    family: str
    language: str
    half: str
    kind: str
    score: float
    called: bool
    why: str = ""
    fields: dict[str, Found] = field(default_factory=dict)
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether it is called what it is."""
        return self.called == (self.label == "claim")


@dataclass(frozen=True)
class Rate:
    """Pages of one kind: counts of claims, of pages called claims, and of both at once."""

    pages: int
    claims: int
    called: int
    both: int

    @property
    def precision(self) -> float | None:
        """Share of what is called a claim that is one."""
        return self.both / self.called if self.called else None

    @property
    def recall(self) -> float | None:
        """Share of claims that are called so."""
        return self.both / self.claims if self.claims else None


def rate(judgements: Iterable[Judgement]) -> Rate:
    """Count judgements."""
    made = list(judgements)
    claims = [j for j in made if j.label == "claim"]
    return Rate(len(made), len(claims), sum(j.called for j in made), sum(j.called for j in claims))


def by(judgements: Iterable[Judgement], what: Callable[[Judgement], str]) -> dict[str, Rate]:
    """Count judgements by language, family or half."""
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        groups.setdefault(what(judgement), []).append(judgement)
    return {name: rate(groups[name]) for name in sorted(groups)}


def by_family(
    judgements: Iterable[Judgement], draws: int = 2000, seed: int = 1
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give the 95 % intervals of precision and recall, families drawn with replacement.

    Pages of a family are alike, so that an interval that counts pages is too narrow. `seed` fixes
    the draws. A draw without a claim, or without a page called one, counts as 1.
    """
    families = by(judgements, lambda j: j.family)
    counts = np.array([(r.claims, r.called, r.both) for r in families.values()], dtype=np.int64)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    claims, called, both = counts[drawn].sum(axis=1).T
    ends = [
        np.percentile(np.where(of > 0, both / np.maximum(of, 1), 1.0), (2.5, 97.5))
        for of in (called, claims)
    ]
    return (float(ends[0][0]), float(ends[0][1])), (float(ends[1][0]), float(ends[1][1]))


def own(pages: Iterable[Invented] | None = None) -> Iterator[Judgement]:
    """Judge the project's own pages, or those of them that are given."""
    for page in invented() if pages is None else pages:
        made = read(from_html(page.html), _AT)
        yield Judgement(
            page.file, page.label, page.family, page.language, page.half, page.kind, made.score,
            made.verdict == "claim", _why(made), compare(page.says, made),
        )  # fmt: skip


def given(directory: Path, labels: Path | None = None) -> Iterator[Judgement]:
    """Judge a folder of labelled pages (HTML, text, PDF, WARC, WACZ).

    `labels` is CSV with a header `file,label`, and optionally `family`, `language`, `half`, `kind`
    and the fields of `saying`; label is claim or innocent. What cannot be read counts as not called
    a claim, and says why. Raises FileError where the table cannot be used.
    """
    path = labels or directory / LABELS
    for number, row in enumerate(_rows(path), 2):
        label = (row["label"] or "").strip().lower()
        if label not in _CLAIM | _INNOCENT:
            raise FileError(
                f"line {number} of {path}: the label is not known", fix="claim, innocent"
            )
        said = _said(row, f"line {number} of {path}")
        judged = partial(
            Judgement, row["file"], "claim" if label in _CLAIM else "innocent",
            row.get("family") or "", row.get("language") or "", row.get("half") or "",
            row.get("kind") or "",
        )  # fmt: skip
        try:
            made = _read(directory, row["file"] or "")
        except ClaimError as error:
            yield judged(0.0, called=False, error=error.what)
            continue
        called = made.verdict == "claim"
        yield judged(made.score, called, _why(made), compare(said, made))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise FileError(
            f"{path} cannot be read", fix="give a CSV with the header file,label,family,language"
        ) from None
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise FileError(f"{path} has no columns file and label", fix="give them a header")
    return rows


def _said(row: dict[str, str], where: str) -> dict[str, list[str]]:
    """What a label says of each field; an empty cell says nothing, a dash that there is none."""
    said = {name: [v.strip() for v in (row.get(name) or "").split(";")] for name in FIELDS}
    said = {name: [v for v in vs if v not in ("", "-")] for name, vs in said.items() if any(vs)}
    if any(len(price.split()) != 2 for price in said.get("prices", [])):
        raise FileError(f"{where}: a price is not well formed", fix="40 USD; 97 BRL")
    return said


def _read(directory: Path, name: str) -> Reading:
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ClaimError("it leads outside the folder")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ClaimError(f"over {_MOST_BYTES:,} bytes")
        raw = path.read_bytes()
    except OSError:
        raise ClaimError("it is not there") from None
    return strongest([read(found, _AT) for found in of_file(raw)])


def _why(made: Reading) -> str:
    return "; ".join(f"{reason.name} {reason.adds:+.1f}" for reason in made.reasons[:_REASONS])
