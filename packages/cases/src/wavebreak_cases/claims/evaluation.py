"""Evaluation of page readings against a user's own labelled pages.

Labels are a CSV file with the columns `file` and `label` (claim or benign), and optionally
`family`, `language`, `split`, `kind` and what the page states, several values separated by
semicolons, a dash for none: `offers` (`bulk`, `numbers` …), `capacities` as count/period
(`80000/day`, `500` without a period, or `unlimited`), `prices` as amount and currency (`40 USD`),
`contacts` as they are written, `channels` (`whatsapp`), `brands`, and `published` as a day
(`2024-03-01`).

Pages are counted as claims found (recall) and as flagged pages that are claims (precision), by
group and with intervals over families; the stated fields are counted one by one. A claim that is
`unsure` goes to a person: recall is counted without and with those.
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

from wavebreak.errors import ClaimError, FileError
from wavebreak_cases.claims.reader import Reading, highest_scoring, parse_file, read

FIELDS = ("offers", "capacities", "prices", "contacts", "channels", "brands", "published")
LABELS = "labels.csv"
READ_AT = "2026-01-01T00:00:00Z"
"""When labelled pages count as captured: later dates in them are ignored."""
SPLITS = {"known": "development", "held-out": "heldout"}
"""Names of splits in label files of Wavebreak 0.1, with today's."""
_MAX_REASONS = 3
_MAX_BYTES = 50_000_000
_CLAIM = {"claim", "abusive", "1", "true", "yes"}
_BENIGN = {"benign", "innocent", "0", "false", "no"}
_LINK = re.compile(r"^(?:https?://)?(?:www\.)?|/$")
_NUMBER = re.compile(r"^[+\d() .-]+$")


class FieldCounts(NamedTuple):
    """Values of one field: in the label, in the reading, and in both."""

    labelled: int
    read: int
    matched: int


def compare_fields(
    labelled: Mapping[str, Iterable[str]], reading: Reading
) -> dict[str, FieldCounts]:
    """Count the values of each labelled field; a field that the label leaves out is not counted.

    >>> from wavebreak_cases.claims.reader import read
    >>> from wavebreak_cases.claims.page_text import parse_text
    >>> page = parse_text("We send 500 WhatsApp messages a day, $40")
    >>> label = {"capacities": ["500/day"], "prices": ["40 USD", "9 USD"]}
    >>> compare_fields(label, read(page, "2026-01-01T00:00:00Z"))["prices"]
    FieldCounts(labelled=2, read=1, matched=1)
    """
    return {
        name: _count_field(name, set(labelled[name]), reading)
        for name in FIELDS
        if name in labelled
    }


def _count_field(name: str, labelled: set[str], reading: Reading) -> FieldCounts:
    if name == "published":
        dates = reading.published
        if dates is None:
            return FieldCounts(len(labelled), 0, 0)
        first, last = (dates.earliest or "")[:10], (dates.latest or "9")[:10]
        return FieldCounts(len(labelled), 1, sum(first <= day <= last for day in labelled))
    if name == "prices":
        return _count_prices(labelled, reading)
    if name == "contacts":
        wanted = {normalize_contact(contact) for contact in labelled}
        read = {normalize_contact(c) for group in reading.contacts.values() for c in group}
        return FieldCounts(len(wanted), len(read), len(wanted & read))
    read = {
        "offers": set(reading.offers),
        "channels": set(reading.channels),
        "brands": set(reading.brands),
        "capacities": {f"{c.count}/{c.period}".rstrip("/") for c in reading.capacities}
        | ({"unlimited"} if reading.unlimited else set()),
    }[name]
    return FieldCounts(len(labelled), len(read), len(labelled & read))


def _count_prices(labelled: set[str], reading: Reading) -> FieldCounts:
    """A reading's currency may be several codes, where a word like peso leaves it open."""
    read = {(money.amount, money.currency) for money in reading.prices}
    matched = sum(
        any(amount == float(wanted) and code in codes.split("/") for amount, codes in read)
        for wanted, code in (price.split() for price in labelled)
    )
    return FieldCounts(len(labelled), len(read), matched)


def normalize_contact(written: str) -> str:
    """Return a contact in one form, however it is written.

    >>> normalize_contact("+55 (11) 9000-1"), normalize_contact("https://T.me/Shop/")
    ('551190001', 't.me/shop')
    """
    text = written.strip().lower()
    if _NUMBER.match(text):
        return re.sub(r"\D", "", text).removeprefix("00")
    return _LINK.sub("", text).removeprefix("mailto:").removeprefix("tel:")


def sum_field_counts(pages: Iterable[Mapping[str, FieldCounts]]) -> dict[str, FieldCounts]:
    """Sum the counts of several pages, by field."""
    total: dict[str, FieldCounts] = {}
    for page in pages:
        for name, counts in page.items():
            old = total.get(name, FieldCounts(0, 0, 0))
            total[name] = FieldCounts(*(a + b for a, b in zip(old, counts, strict=True)))
    return {name: total[name] for name in FIELDS if name in total}


@dataclass(frozen=True)
class PageResult:
    """One labelled page with the reading's verdict.

    Attributes:
        file: The page's path in the folder.
        label: `claim` or `benign`.
        family: The family it belongs to: pages made alike.
        language: Its language, as labelled.
        split: The split it belongs to, as labelled.
        kind: Its kind, as labelled.
        score: The reading's score, 0 where the page cannot be read.
        flagged: Whether the reading calls it a claim.
        why: The strongest reasons for the score.
        fields: Counts of the labelled fields.
        error: Why the page cannot be read; empty where it was.
        verdict: The reading's verdict: `claim`, `unsure` or `benign`.
    """

    file: str
    label: str
    family: str
    language: str
    split: str
    kind: str
    score: float
    flagged: bool
    why: str = ""
    fields: dict[str, FieldCounts] = field(default_factory=dict)
    error: str = ""
    verdict: str = ""

    @property
    def found(self) -> bool:
        """Whether a person gets to see it: flagged, or unsure."""
        return self.flagged or self.verdict == "unsure"

    @property
    def correct(self) -> bool:
        """Whether the verdict agrees with the label."""
        return self.flagged == (self.label == "claim")


@dataclass(frozen=True)
class Counts:
    """Counts of a group of pages: claims, pages flagged as claims, and claims that are flagged.

    `found` counts the claims that are flagged or unsure, `unsure` the benign pages that are unsure.
    """

    pages: int
    claims: int
    flagged: int
    true_positives: int
    found: int = 0
    unsure: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the flagged pages that are claims; None where none is flagged."""
        return self.true_positives / self.flagged if self.flagged else None

    @property
    def recall(self) -> float | None:
        """Share of the claims that are flagged; None where there is no claim."""
        return self.true_positives / self.claims if self.claims else None

    @property
    def recall_with_unsure(self) -> float | None:
        """Share of the claims that are flagged or unsure; None where there is no claim."""
        return self.found / self.claims if self.claims else None


def count_results(results: Iterable[PageResult]) -> Counts:
    """Count the results of a group of pages."""
    pages = list(results)
    claims = [page for page in pages if page.label == "claim"]
    return Counts(
        len(pages),
        len(claims),
        sum(page.flagged for page in pages),
        sum(page.flagged for page in claims),
        sum(page.found for page in claims),
        sum(page.verdict == "unsure" for page in pages if page.label != "claim"),
    )


def count_by(results: Iterable[PageResult], key: Callable[[PageResult], str]) -> dict[str, Counts]:
    """Count results by language, family, split or another key, sorted by the key."""
    groups: dict[str, list[PageResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return {name: count_results(groups[name]) for name in sorted(groups)}


Interval = tuple[float, float]


def bootstrap_by_family(
    results: Iterable[PageResult], draws: int = 2000, seed: int = 1, *, with_unsure: bool = False
) -> tuple[Interval, Interval]:
    """Return the 95 % intervals of precision and recall by a bootstrap over families.

    Pages of one family are alike, so an interval over single pages would be too narrow. A draw
    without a claim, or without a flagged page, counts as 1.

    Args:
        results: The results of the pages, each with its family.
        draws: How many samples of families are drawn, with replacement.
        seed: Seed of the draws.
        with_unsure: Whether recall counts the claims that are unsure, too.
    """
    families = count_by(results, lambda page: page.family)
    counts = np.array(
        [
            (c.claims, c.flagged, c.true_positives, c.found if with_unsure else c.true_positives)
            for c in families.values()
        ],
        dtype=np.int64,
    )
    drawn = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    claims, flagged, true_positives, found = counts[drawn].sum(axis=1).T
    ends = [
        np.percentile(np.where(total > 0, part / np.maximum(total, 1), 1.0), (2.5, 97.5))
        for part, total in ((true_positives, flagged), (found, claims))
    ]
    return (float(ends[0][0]), float(ends[0][1])), (float(ends[1][0]), float(ends[1][1]))


def evaluate_pages(directory: Path, labels: Path | None = None) -> Iterator[PageResult]:
    """Read a folder of labelled pages (HTML, text, PDF, WARC, WACZ) and compare with the labels.

    A page that cannot be read counts as not flagged, and its result has the error.

    Args:
        directory: The folder with the pages.
        labels: The CSV file with the labels (see the module); by default `labels.csv` in the
            folder.

    Raises:
        FileError: The CSV file cannot be read or has a value that is not allowed.
    """
    path = labels or directory / LABELS
    for number, row in enumerate(_rows(path), 2):
        where = f"line {number} of {path}"
        label = (row["label"] or "").strip().lower()
        if label not in _CLAIM | _BENIGN:
            raise FileError(
                f"{where}: the label `{label[:40]}` is not known", fix="write claim or benign"
            )
        labelled = _labelled_fields(row, where)
        split = row.get("split") or row.get("half") or ""
        result = partial(
            PageResult,
            row["file"],
            "claim" if label in _CLAIM else "benign",
            row.get("family") or "",
            row.get("language") or "",
            SPLITS.get(split, split),
            row.get("kind") or "",
        )
        try:
            reading = _read_page(directory, row["file"] or "")
        except ClaimError as error:
            yield result(0.0, flagged=False, error=error.what)
            continue
        flagged = reading.verdict == "claim"
        fields = compare_fields(labelled, reading)
        yield result(
            reading.score, flagged, summarize_reasons(reading), fields, verdict=reading.verdict
        )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise FileError(
            f"{path} cannot be read", fix="give a CSV file with the columns file and label"
        ) from None
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise FileError(
            f"{path} has no columns file and label", fix="make its first line `file,label`"
        )
    return rows


def _labelled_fields(row: dict[str, str], where: str) -> dict[str, list[str]]:
    """What the label states, by field; an empty cell states nothing, a dash that there is none."""
    cells = {name: [v.strip() for v in (row.get(name) or "").split(";")] for name in FIELDS}
    fields = {name: [v for v in vs if v not in ("", "-")] for name, vs in cells.items() if any(vs)}
    for price in fields.get("prices", []):
        if len(price.split()) != 2:
            raise FileError(
                f"{where}, prices: `{price[:40]}` is not an amount and a currency",
                fix="write 40 USD; 97 BRL",
            )
    return fields


def _read_page(directory: Path, name: str) -> Reading:
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise ClaimError("the path leads outside the folder", fix="name a file in the folder")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ClaimError(f"the file is over {_MAX_BYTES:,} bytes", fix="leave it out")
        raw = path.read_bytes()
    except OSError:
        raise ClaimError("there is no such file", fix="correct the column file") from None
    return highest_scoring([read(document, READ_AT) for document in parse_file(raw)])


def summarize_reasons(reading: Reading) -> str:
    """Return a reading's strongest reasons, each with what it adds in log odds."""
    return "; ".join(f"{r.name} {r.adds:+.1f}" for r in reading.reasons[:_MAX_REASONS])
