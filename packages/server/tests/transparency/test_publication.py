"""Files of a report: one count in all of them, the DSA's columns, and the export of decisions."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import date
from pathlib import Path

import pytest

from support.transparency_ledgers import DAY, SIGNER, Sealed, Writer, random_ledger
from wavebreak.errors import EvidenceError, FileError
from wavebreak.ledger import OpeningFile
from wavebreak_server.transparency import (
    OpenedAccounts,
    Period,
    Publication,
    Report,
    Sources,
    build_report,
    export_decisions,
    last_checkpoint,
    list_accounts,
    read_history,
    read_report,
    write_report,
)
from wavebreak_server.transparency.report import shown

QUARTER = Period(date(2026, 1, 1), date(2026, 4, 1))
PUBLISHED = date(2026, 4, 20)


def written(
    sealed: Sealed, place: Path, *, internal: bool = False, service: str = "Chat"
) -> Report:
    """A report on the quarter, written into a directory."""
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    history = read_history(sealed.place, checkpoint, OpenedAccounts(openings))
    openings.close()
    publication = Publication("Example Ltd", service, PUBLISHED, date(2026, 1, 15), 5, internal)
    listed = list_accounts(history, QUARTER)
    report = build_report(
        history, QUARTER, checkpoint, publication, Sources(True, True),
        accounts_sha256=listed.digest(), unopened=history.unopened(),
    )  # fmt: skip
    write_report(report, listed, place)
    return report


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, which has the line ends of RFC 4180."""
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_json_csv_and_page_have_the_same_numbers(tmp_path: Path) -> None:
    report = written(random_ledger(tmp_path / "log", 1), tmp_path / "out")
    assert read_report(tmp_path / "out") == read_report(tmp_path / "out" / "report.json") == report
    table = {row["id"]: row for row in rows(tmp_path / "out" / "report.csv")}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert list(table) == list(report.numbers())
    for name, number in report.numbers().items():
        assert table[name]["shown"] == shown(number, 5)
        assert table[name]["definition"] == number.definition
    for section in report.sections:
        assert section.title in page
    assert "<5" not in page
    assert "&lt;5" in page


def test_same_ledger_gives_the_same_bytes(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 2)
    for name in ("a", "b"):
        written(sealed, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 11
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_public_files_name_no_account(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 3)
    written(sealed, tmp_path / "out")
    for file in (tmp_path / "out").rglob("*.*"):
        assert b"account-" not in file.read_bytes()


def test_accounts_list_has_each_counted_decision(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    for account, outcome in (("b", "ban"), ("a", "limit"), ("c", "observe"), ("b", "challenge")):
        writer.decide(account, outcome)
    written(writer.close(), tmp_path / "out")
    content = (tmp_path / "out" / "accounts.csv").read_bytes()
    assert content == b"position,account\r\n0,1\r\n1,2\r\n3,1\r\n"


def test_annex_maps_outcomes_to_restrictions(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    for outcome, count in (("limit", 6), ("restrict", 7), ("suspend", 8), ("ban", 9), ("allow", 5)):
        for k in range(count):
            stage = "feedback" if k < 5 and outcome == "ban" else "messaging"
            writer.decide(f"{outcome}{k}", outcome, stage=stage)
    written(writer.close(), tmp_path / "out")
    total, category, own = rows(tmp_path / "out" / "dsa" / "6_own_initiative_TC.csv")
    assert own['Description of the sub-category "Other"'] == (
        "Unauthorised automated or bulk messaging"
    )
    key = "Category of incompatibility with the provider's terms and conditions"
    assert [row[key] for row in (total, category, own)] == [
        "TOTAL", "STATEMENT_CATEGORY_OTHER_VIOLATION_TC", "KEYWORD_OTHER",
    ]  # fmt: skip
    for row in (total, category, own):
        assert row["Number of measures taken at the provider's own initiative"] == "30"
        assert row["Number of measures taken after detection with solely automated means"] == "25"
        assert row["Provision of the service Suspension"] == "13"
        assert row["Account restriction Suspension"] == "8"
        assert row["Account restriction Termination"] == "9"
        assert row["Visibility restriction Removal"] == "0"
        assert row["Reporting period"] == "2026-01-01/2026-03-31"
    (illegal,) = rows(tmp_path / "out" / "dsa" / "5_own_initiative_illegal.csv")
    assert illegal["Number of measures taken at the provider's own initiative"] == "0"
    assert list(illegal)[4:] == list(total)[4:]


def test_annex_explains_what_is_withheld_or_not_measured(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    for k in range(30):
        writer.decide(f"a{k}", "ban" if k < 2 else "limit")
    written(writer.close(), tmp_path / "out")
    (total, _, _) = rows(tmp_path / "out" / "dsa" / "6_own_initiative_TC.csv")
    assert total["Account restriction Termination"] == ""
    note = total["Contextual Information on Account restriction Termination"]
    assert note == "Fewer than 5; the number is withheld."
    automated = rows(tmp_path / "out" / "dsa" / "8_automated_means.csv")
    accuracy = [row for row in automated if row["Indicator"].endswith("- Accuracy")]
    assert [row["Scope"] for row in accuracy] == ["Rules and model together", "Rules", "Model"]
    assert all(row["Value"] == "" for row in accuracy)
    assert all(row["Contextual Information"].startswith("Not measured.") for row in accuracy)


def test_annex_identifies_report_and_counts_appeals(tmp_path: Path) -> None:
    report = written(random_ledger(tmp_path / "log", 5), tmp_path / "out", internal=True)
    found = {
        row["Indicator"]: row for row in rows(tmp_path / "out/dsa/1_report_identification.csv")
    }
    assert found["Name of the service provider"]["Value"] == "Example Ltd"
    assert found["Date of the publication of the report"]["Value"] == "2026-04-20"
    assert found["Date of the publication of the latest previous report"]["Value"] == "2026-01-15"
    assert found["Ending date of reporting period"]["Value"] == "2026-03-31"
    appeals = rows(tmp_path / "out" / "dsa" / "7_appeals_and_recidivism.csv")
    assert list(appeals[0])[3:] == [
        "Section", "Indicator", "Scope", "Value", "Contextual Information",
    ]  # fmt: skip
    first = {row["Scope"]: row["Value"] for row in appeals[:6]}
    numbers = report.numbers()
    assert first["Total number"] == str(numbers["appeals.received"].value)
    assert first["Decisions partially reversed"] == str(numbers["appeals.partially_reversed"].value)
    assert len(rows(tmp_path / "out" / "dsa" / "11_qualitative.csv")) == 4
    assert rows(tmp_path / "out" / "dsa" / "2_categories_names.csv")[1]["Category label"] == "15"


def test_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    sealed = random_ledger(tmp_path / "log", 5, 20)
    with pytest.raises(FileError, match="cannot be written"):
        written(sealed, tmp_path / "out")


def test_export_has_every_decision_in_order(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 6)
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    count = export_decisions(
        sealed.place, checkpoint, tmp_path / "d.csv", accounts=OpenedAccounts(openings)
    )
    openings.close()
    found = rows(tmp_path / "d.csv")
    assert count == len(found) == len(sealed.of("decision"))
    for row, record in zip(found, sealed.of("decision"), strict=True):
        assert (int(row["position"]), row["account"]) == (record["position"], record["account"])
        assert (row["outcome"], row["basis"]) == (record["outcome"], record["basis"])
    assert {row["mode"] for row in found} == {"enforce", "shadow"}


def test_cells_of_an_export_are_no_formulas(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@ann", "\tann", "\rann", "ann=1"]
    writer = Writer(tmp_path / "log")
    for name in names:
        writer.decide(name, "limit")
    sealed = writer.close()
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    out = tmp_path / "d.csv"
    export_decisions(sealed.place, checkpoint, out, accounts=OpenedAccounts(openings))
    openings.close()
    found = rows(out)
    assert [row["account"] for row in found] == [*(f"'{name}" for name in names[:-1]), "ann=1"]
    formulas = ("=", "+", "-", "@", "\t", "\r")
    cells = [cell for row in found for cell in row.values()]
    # A number keeps its sign.
    assert not [c for c in cells if c.startswith(formulas) and not _is_number(c)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_report_of_a_service_named_like_a_formula(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 5, 20)
    formula = '=HYPERLINK("http://example.org")'
    written(sealed, tmp_path / "out", service=formula)
    tables = [*(tmp_path / "out" / "dsa").glob("*.csv"), tmp_path / "out" / "report.csv"]
    text = "".join(file.read_text("utf-8") for file in tables)
    assert "'=HYPERLINK" in text
    assert not [cell for file in tables for row in rows(file) for cell in row.values()
                if cell.startswith("=")]  # fmt: skip


def test_export_without_accounts_names_none(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 6, 50)
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    export_decisions(sealed.place, checkpoint, tmp_path / "d.csv")
    assert "account-" not in (tmp_path / "d.csv").read_text("utf-8")
    assert json.dumps(list(rows(tmp_path / "d.csv")[0])).count("account") == 0


def test_export_of_a_changed_ledger_leaves_no_file(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 6, 50)
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    entries = sealed.place / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"p1"', b'"p9"', 1))
    (tmp_path / "out").mkdir()
    with pytest.raises(EvidenceError, match="root_wrong"):
        export_decisions(sealed.place, checkpoint, tmp_path / "out" / "d.csv")
    assert list((tmp_path / "out").iterdir()) == []


def test_export_needs_constant_memory(tmp_path: Path) -> None:
    peaks = []
    for size in (500, 4_000):
        writer = Writer(tmp_path / f"log{size}")
        for k in range(size):
            writer.now += DAY // 100
            writer.decide(f"a{k}", "limit")
        sealed = writer.close()
        checkpoint = last_checkpoint(sealed.place, SIGNER.key)
        tracemalloc.start()
        export_decisions(sealed.place, checkpoint, tmp_path / "d.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000
