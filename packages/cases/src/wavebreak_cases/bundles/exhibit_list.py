"""The list of exhibits: each of their files under a control number, as in a Bates numbering."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wavebreak_cases import claims
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.case import Case, Exhibit
from wavebreak_cases.claims.exhibits import EXHIBIT


class ListedFile(NamedTuple):
    """A file of an exhibit: its control number, name and SHA-256."""

    number: str
    exhibit: str
    name: str
    sha256: str


class ListedExhibit(NamedTuple):
    """An exhibit with the control numbers of its files, and its source ("": none is known)."""

    exhibit: Exhibit
    files: tuple[ListedFile, ...]
    source: str

    @property
    def numbers(self) -> str:
        """The control numbers from first to last."""
        ends = dict.fromkeys((self.files[0].number, self.files[-1].number)) if self.files else {}
        return " –\n".join(ends)


def list_exhibits(directory: Path, case: Case) -> list[ListedExhibit]:
    """Return the exhibits of a case in their order, with their files numbered through.

    Args:
        directory: The case's directory, or a bundle's payload.
        case: The case.
    """
    numbers = _control_numbers(case.id)
    listed = []
    for exhibit in case.exhibits.values():
        files = tuple(
            ListedFile(next(numbers), exhibit.id, name, digest)
            for name, digest in sorted(exhibit.sha256.items())
        )
        listed.append(ListedExhibit(exhibit, files, exhibit_source(directory, exhibit)))
    return listed


def _control_numbers(case: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{case}-{number:06d}"


def exhibit_source(directory: Path, exhibit: Exhibit) -> str:
    """Return the address or source that a captured or added exhibit names ("": none)."""
    place = directory / exhibit.path
    return claims.load_exhibit(place).source if (place / EXHIBIT).exists() else ""


def exhibit_rows(listed: list[ListedExhibit], text: ReportText) -> Iterator[tuple[str, ...]]:
    """Return a row for each file: number, exhibit, kind, title, source, taken, file, digest."""
    for entry in listed:
        exhibit = entry.exhibit
        for file in entry.files:
            yield (
                file.number, exhibit.id, text.of("kinds", exhibit.kind), exhibit.title,
                entry.source, text.instant(exhibit.captured), file.name, file.sha256,
            )  # fmt: skip
