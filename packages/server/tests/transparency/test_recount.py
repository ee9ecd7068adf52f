"""Recount of a published report: nothing differs, and every change is found."""

from __future__ import annotations

import os
from datetime import date
from itertools import cycle
from pathlib import Path

import msgspec
import pytest

from support.transparency_ledgers import DAY, SIGNER, START, Writer, random_ledger
from wavebreak.errors import EvidenceError, FileError
from wavebreak.ledger import DirectoryRecorder, Draft, OpeningFile
from wavebreak.ledger.entries import AppealEntry
from wavebreak_server.transparency import (
    AccountsList,
    History,
    Holdings,
    NoAccounts,
    Number,
    OpenedAccounts,
    Period,
    Publication,
    Recount,
    Report,
    Sources,
    build_report,
    last_checkpoint,
    list_accounts,
    read_history,
    read_report,
    recount,
    write_report,
)
from wavebreak_server.transparency.accounts_list import NAME, read_accounts_list
from wavebreak_server.transparency.comparison import DIFFERENT, EQUAL, NOT_RECOUNTED, published_list
from wavebreak_server.transparency.history import check_origin

QUARTER = Period(date(2026, 1, 1), date(2026, 4, 1))


class Published:
    """A report on a random ledger as a stranger has it, and as the operator can recount it."""

    def __init__(self, place: Path, seed: int, *, internal: bool = False, size: int = 300) -> None:
        self.place = place / "report"
        self.sealed = random_ledger(place / "log", seed, size)
        self.history = self.operator_history()
        self.reports = {
            each["account"]: [each["ts"] - DAY] for each in self.sealed.of("decision")[::3]
        }
        checkpoint = last_checkpoint(self.sealed.place, SIGNER.key)
        listed = list_accounts(self.history, QUARTER)
        self.report = build_report(
            self.history, QUARTER, checkpoint, Publication("Example", internal=internal),
            Sources(True, True, self.reports),
            accounts_sha256=listed.digest(), unopened=self.history.unopened(),
        )  # fmt: skip
        write_report(self.report, listed, self.place)
        self.listed = published_list(self.place, self.report)

    def operator_history(self) -> History:
        """The history with accounts."""
        openings = OpeningFile(self.sealed.place / "private" / "openings.sqlite3")
        checkpoint = last_checkpoint(self.sealed.place, SIGNER.key)
        history = read_history(self.sealed.place, checkpoint, OpenedAccounts(openings))
        openings.close()
        return history

    def by_stranger(self, report: Report | None = None) -> Recount:
        """Recount with the list and the entries alone."""
        report = report or read_report(self.place)
        history = read_history(self.sealed.place, report.ledger, NoAccounts())
        return recount(report, history, Holdings(self.listed))

    def by_operator(self, report: Report | None = None) -> Recount:
        """Recount with openings and reports."""
        holdings = Holdings(self.listed, opened=True, reports=self.reports)
        return recount(report or self.report, self.history, holdings)


def tampered(report: Report, name: str, number: Number) -> Report:
    """The report with another number of this id."""
    sections = tuple(
        msgspec.structs.replace(
            section, numbers=tuple(number if n.id == name else n for n in section.numbers)
        )
        for section in report.sections
    )
    return msgspec.structs.replace(report, sections=sections)


@pytest.mark.parametrize("internal", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_stranger_and_operator_find_all_equal(tmp_path: Path, seed: int, internal: bool) -> None:
    published = Published(tmp_path, seed, internal=internal)
    stranger, operator = published.by_stranger(), published.by_operator()
    assert stranger.of(DIFFERENT) == operator.of(DIFFERENT) == operator.of(NOT_RECOUNTED) == []
    left = {each.id.split(".")[0] for each in stranger.of(NOT_RECOUNTED)}
    assert left == {"accounts", "classifier"}
    assert all("alone" in each.why for each in stranger.of(NOT_RECOUNTED))
    assert len(stranger.of(EQUAL)) > 90


@pytest.mark.parametrize("internal", [False, True])
def test_every_changed_number_is_found(tmp_path: Path, internal: bool) -> None:
    published = Published(tmp_path, 11, internal=internal, size=600)
    for name, number in published.report.numbers().items():
        wrong = 1 if number.value is None else number.value + 1
        changed = msgspec.structs.replace(number, value=wrong, withheld="")
        if number.withheld == "unknown":
            continue
        found = published.by_operator(tampered(published.report, name, changed)).of(DIFFERENT)
        assert [each.id for each in found] == [name]


def test_number_hidden_without_reason_is_found(tmp_path: Path) -> None:
    published = Published(tmp_path, 11, size=600)
    reasons = cycle(("small", "beside_small", "few", "not_measured"))
    printed = {name: each for name, each in published.report.numbers().items() if each.value}
    for (name, number), why in zip(printed.items(), reasons, strict=False):
        changed = msgspec.structs.replace(number, value=None, withheld=why)
        found = published.by_operator(tampered(published.report, name, changed))
        assert [each.id for each in found.of(DIFFERENT)] == [name]


def test_number_left_out_or_added_is_found(tmp_path: Path) -> None:
    published = Published(tmp_path, 3)
    first, *others = published.report.sections
    cut = msgspec.structs.replace(first, numbers=first.numbers[1:])
    found = published.by_stranger(
        msgspec.structs.replace(published.report, sections=(cut, *others))
    )
    assert [(each.id, each.why) for each in found.of(DIFFERENT)] == [
        (first.numbers[0].id, "is missing from the report")
    ]
    extra = msgspec.structs.replace(first.numbers[0], id="decisions.made_up")
    more = msgspec.structs.replace(first, numbers=(*first.numbers, extra))
    found = published.by_stranger(
        msgspec.structs.replace(published.report, sections=(more, *others))
    )
    assert [each.id for each in found.of(DIFFERENT)] == ["decisions.made_up"]


def test_definition_that_was_changed_is_found(tmp_path: Path) -> None:
    published = Published(tmp_path, 3)
    number = published.report.numbers()["decisions.total"]
    changed = msgspec.structs.replace(number, definition="Only the good ones.")
    found = published.by_stranger(tampered(published.report, number.id, changed))
    assert [each.why for each in found.of(DIFFERENT)] == ["its label or definition is another"]


def test_accounts_list_that_was_changed_is_found(tmp_path: Path) -> None:
    published = Published(tmp_path, 4)
    assert published.listed is not None
    numbers = dict(published.listed.numbers)
    positions = list(numbers)
    for change in (
        {positions[-1]: str(len(positions))},
        {positions[-1]: ""},
        {10_000: "1"},
        {positions[0]: "2"},
    ):
        published.listed = AccountsList(numbers | change)
        assert published.by_stranger().comparisons[0].verdict == DIFFERENT


def test_operator_finds_a_list_that_merges_accounts(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    first, second = writer.decide("a", "ban"), writer.decide("b", "ban")
    sealed = writer.close()
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    listed = AccountsList({first: "1", second: "1"})
    merged = read_history(sealed.place, checkpoint, NoAccounts()).with_accounts(listed.numbers)
    report = build_report(
        merged, QUARTER, checkpoint, Publication("Example", minimum=0), Sources(accounts=True),
        accounts_sha256=listed.digest(), unopened=0,
    )  # fmt: skip
    assert recount(report, merged, Holdings(listed)).holds
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    opened = read_history(sealed.place, checkpoint, OpenedAccounts(openings))
    found = recount(report, opened, Holdings(listed, opened=True)).of(DIFFERENT)
    openings.close()
    assert [each.why for each in found] == [
        f"entry {second} is about another account than entry {first}, and the list says the same"
    ]


def test_report_alone_leaves_accounts_uncounted(tmp_path: Path) -> None:
    published = Published(tmp_path, 5)
    (published.place / NAME).unlink()
    published.listed = published_list(published.place, published.report)
    done = published.by_stranger()
    assert done.holds
    assert done.comparisons[0].verdict == NOT_RECOUNTED
    assert {each.why for each in done.of(NOT_RECOUNTED)} >= {"needs accounts.csv"}


def test_later_entries_do_not_change_a_recount(tmp_path: Path) -> None:
    published = Published(tmp_path, 6)
    recorder = DirectoryRecorder(
        published.sealed.place, SIGNER, clock=lambda: START, salts=os.urandom
    )
    recorder.add([Draft("appeal", AppealEntry(1, "reversed"), {})])
    recorder.close()
    assert published.by_stranger().of(DIFFERENT) == []


def test_erasure_after_publication_differs_nowhere(tmp_path: Path) -> None:
    published = Published(tmp_path, 8)
    openings = OpeningFile(published.sealed.place / "private" / "openings.sqlite3")
    account = published.sealed.of("label")[0]["account"]
    assert openings.erase("account", account)
    openings.close()
    published.history = published.operator_history()
    done = published.by_operator()
    assert done.of(DIFFERENT) == []
    assert {each.why for each in done.of(NOT_RECOUNTED)} == {"openings were erased since"}


def test_ledger_that_was_changed_does_not_verify(tmp_path: Path) -> None:
    published = Published(tmp_path, 9, size=60)
    entries = published.sealed.place / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"outcome":"ban"', b'"outcome":"bat"', 1))
    with pytest.raises(EvidenceError, match="root_wrong"):
        published.by_stranger()


def test_ledger_that_was_cut_does_not_verify(tmp_path: Path) -> None:
    published = Published(tmp_path, 9, size=60)
    entries = published.sealed.place / "entries.jsonl"
    entries.write_bytes(b"".join(entries.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(EvidenceError, match="log_cut"):
        published.by_stranger()


@pytest.mark.parametrize("field", ["size", "root", "origin"])
def test_checkpoint_that_says_other_than_its_note_is_found(tmp_path: Path, field: str) -> None:
    checkpoint = Published(tmp_path, 9, size=30).report.ledger
    value = 1 if field == "size" else "0" * 64
    with pytest.raises(EvidenceError, match="checkpoint_other"):
        check_origin(msgspec.structs.replace(checkpoint, **{field: value}), SIGNER.key)


def test_opening_of_another_entry_is_refused(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    first, second = writer.decide("a", "ban"), writer.decide("b", "ban")
    sealed = writer.close()
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    swapped = openings.of(first)
    openings.keep(second, [swapped])
    with pytest.raises(EvidenceError, match="opening_wrong"):
        read_history(
            sealed.place, last_checkpoint(sealed.place, SIGNER.key), OpenedAccounts(openings)
        )
    openings.close()


def test_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(FileError, match="is not a transparency report"):
        read_report(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        read_report(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["", "position,account\r\n1,1\r\n1,1\r\n", "a,b\r\n1,2\r\n", "1"])
def test_file_that_is_no_accounts_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(FileError, match="is not an accounts list"):
        read_accounts_list(tmp_path / NAME)


def test_directory_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is not a ledger"):
        last_checkpoint(tmp_path, SIGNER.key)
