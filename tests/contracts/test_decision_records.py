"""Decision records: each has a status, and each reference leads to one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "adr"
STATUS = re.compile(r"^Status: (?:accepted|superseded by)\b.*\b20\d\d", re.MULTILINE)
SUFFIXES = {".py", ".toml", ".md", ".json", ".ts", ".lua", ".erl"}
REFERENCE = re.compile(r"\bADR (\d+)\b|docs/adr/(\d{4})\b")


def source_files() -> list[Path]:
    """Return the text files that may refer to a record."""
    folders = ("docs", "packages", "tests", "clients", "integrations", "experiments")
    return [*ROOT.glob("*.md")] + [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and not {"node_modules", ".venv"} & set(path.parts)
    ]


def record_numbers() -> set[int]:
    """Return the numbers of the records that have a file."""
    return {int(path.name[:4]) for path in RECORDS.glob("0*.md")}


def former_numbers() -> dict[int, int]:
    """Return the record of each former number, from the table of the index."""
    table = (RECORDS / "index.md").read_text("utf-8").partition("## Former numbers")[2]
    rows = re.findall(r"\| (\d+) \| \[(\d+)\]\((\d{4})-", table)
    assert all(int(number) == int(file) for _, number, file in rows)
    return {int(former): int(number) for former, number, _ in rows}


def test_each_record_has_a_status_with_a_date() -> None:
    missing = [p.name for p in RECORDS.glob("0*.md") if not STATUS.search(p.read_text("utf-8"))]
    assert missing == []


def test_index_lists_each_record_and_each_former_number() -> None:
    former = former_numbers()
    listed = (RECORDS / "index.md").read_text("utf-8").partition("## Former numbers")[0]
    assert {int(n) for n in re.findall(r"\]\((\d{4})-", listed)} == record_numbers()
    assert set(former.values()) <= record_numbers()
    assert not set(former) & record_numbers()
    assert record_numbers() | set(former) == set(range(1, max(record_numbers() | set(former)) + 1))


def test_each_reference_leads_to_a_record() -> None:
    resolvable = record_numbers() | set(former_numbers())
    references = [
        (str(path.relative_to(ROOT)), int(number or file))
        for path in source_files()
        for number, file in REFERENCE.findall(path.read_text("utf-8", errors="replace"))
    ]
    assert len(references) > 50
    assert [reference for reference in references if reference[1] not in resolvable] == []
