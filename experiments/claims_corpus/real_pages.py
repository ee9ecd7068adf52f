"""Real pages: a list of addresses and digests here, the pages in a folder of the reader's own.

`real_pages.csv` has for each page its address, the SHA-256 of its text as it was kept, language,
label, split and source. Pages of one source (a site, the owner of a repository) are in one split:
`learning` is what weights and vocabulary may be changed with, `held` and `fresh` (owners that no
list had on 2026-11-30) are only evaluated. No text is kept in the repository; a page is found in
the folder by its digest, whatever its file's name.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavebreak.errors import UsageError
from wavebreak_cases.claims.evaluation import READ_AT, PageResult, summarize_reasons
from wavebreak_cases.claims.page_text import parse_text
from wavebreak_cases.claims.reader import read

LIST = Path(__file__).with_name("real_pages.csv")


@dataclass(frozen=True)
class RealPage:
    """One listed page with its text.

    Attributes:
        address: Where it was published.
        sha256: Digest of its text as it was kept.
        language: Its language.
        label: `claim` or `benign`.
        split: `learning`, `held` or `fresh`.
        source: Its site, or the owner of its repository.
        text: Its text.

    """

    address: str
    sha256: str
    language: str
    label: str
    split: str
    source: str
    text: str


def load_pages(directory: Path, split: str = "") -> list[RealPage]:
    """Read the listed pages that a folder has, of one split or of all.

    Args:
        directory: The folder; its files are recognized by their digests.
        split: `learning`, `held`, `fresh`, or empty for all.

    Raises:
        UsageError: The folder has none of the listed pages.

    """
    files = {
        hashlib.sha256(raw).hexdigest(): raw
        for path in sorted(directory.glob("*"))
        if path.is_file() and (raw := path.read_bytes())
    }
    with LIST.open(encoding="utf-8", newline="") as listed:
        pages = [
            RealPage(text=files[row["sha256"]].decode("utf-8", "replace"), **row)
            for row in csv.DictReader(listed)
            if row["sha256"] in files and split in ("", row["split"])
        ]
    if not pages:
        raise UsageError(
            f"{directory} has none of the listed pages",
            fix=f"keep the pages of {LIST.name} there, as they were when they were listed",
        )
    return pages


def evaluate_pages(pages: list[RealPage]) -> Iterator[PageResult]:
    """Read pages and compare the verdicts with their labels; families are sources."""
    for page in pages:
        reading = read(parse_text(page.text), READ_AT)
        yield PageResult(
            page.address, page.label, page.source, page.language, page.split, "",
            reading.score, reading.verdict == "claim", summarize_reasons(reading),
            verdict=reading.verdict,
        )  # fmt: skip
