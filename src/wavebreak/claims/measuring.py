"""Readings against labels: how many claims are found, and how many that are called so are none."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wavebreak.claims.inventing import invented
from wavebreak.claims.reading import of_file, read, strongest
from wavebreak.claims.texts import from_html
from wavebreak.errors import ClaimError, FileError

LABELS = "labels.csv"
_AT = "2026-01-01T00:00:00Z"
_MOST_BYTES = 50_000_000
_CLAIM = {"claim", "abusive", "1", "true", "yes"}
_INNOCENT = {"innocent", "benign", "0", "false", "no"}


@dataclass(frozen=True)
class Judgement:
    """One labelled page and what is made of it; `error` tells why it could not be read."""

    file: str
    label: str
    family: str
    language: str
    half: str
    score: float
    called: bool
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


def own() -> Iterator[Judgement]:
    """Judge the project's own pages."""
    for page in invented():
        made = read(from_html(page.html), _AT)
        yield Judgement(
            page.file, page.label, page.family, page.language, page.half, made.score,
            made.verdict == "claim",
        )  # fmt: skip


def given(directory: Path, labels: Path | None = None) -> Iterator[Judgement]:
    """Judge a folder of labelled pages (HTML, text, PDF, WARC, WACZ).

    `labels` is CSV with a header `file,label` and optionally `family,language,half`; label is
    claim or innocent. What cannot be read counts as not called a claim, and says why.
    """
    path = labels or directory / LABELS
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise FileError(
            f"{path} cannot be read", fix="give a CSV with the header file,label,family,language"
        ) from None
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise FileError(f"{path} has no columns file and label", fix="give them a header")
    for number, row in enumerate(rows, 2):
        label = (row["label"] or "").strip().lower()
        if label not in _CLAIM | _INNOCENT:
            raise FileError(
                f"line {number} of {path}: the label is not known", fix="claim, innocent"
            )
        score, called, error = _judged(directory, row["file"] or "")
        yield Judgement(
            row["file"], "claim" if label in _CLAIM else "innocent", row.get("family") or "",
            row.get("language") or "", row.get("half") or "", score, called, error,
        )  # fmt: skip


def _judged(directory: Path, name: str) -> tuple[float, bool, str]:
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        return 0.0, False, "it leads outside the folder"
    try:
        if path.stat().st_size > _MOST_BYTES:
            return 0.0, False, f"over {_MOST_BYTES:,} bytes"
        made = strongest([read(found, _AT) for found in of_file(path.read_bytes())])
    except (OSError, ClaimError) as error:
        return 0.0, False, error.what if isinstance(error, ClaimError) else "it is not there"
    return made.score, made.verdict == "claim", ""
