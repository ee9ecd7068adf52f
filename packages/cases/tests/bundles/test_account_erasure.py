"""Erasure of an account in a case, by its own id or its pseudonym: what is found, what is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from typer.testing import CliRunner

from support.case_workflow import KEY, SENDER, Bench, small_run
from wavebreak.cli import app
from wavebreak.errors import CaseError
from wavebreak.ledger import DirectoryRecorder, OpeningFile, new_signer
from wavebreak.ledger.checkpoints import encode_signer
from wavebreak.ledger.entries import ErasureEntry
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.account_erasure import erase_account, find_traces
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.report_sections import ReportSource, parties
from wavebreak_cases.bundles.report_settings import load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.workspace import load_case
from wavebreak_cases.cases.case import StateChanged, evidence_for_party
from wavebreak_cases.cases.workflow import is_current

WHY: dict[str, Any] = {"by": "Noa", "role": "investigator", "why": "request of 3 May"}
HIDDEN = make_renamer(case_key(KEY, "C-7"))("a", SENDER)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    sealer = new_signer("example.org/log", secret=bytes(32))
    sealing = DirectoryRecorder(tmp_path / "log", sealer, clock=lambda: 0, salts=made.salts)
    run = small_run(tmp_path, sealer=sealing)
    sealing.close()
    made.whole(run, ledger=(tmp_path / "log", sealer))
    return made


@pytest.mark.parametrize("account", [SENDER, HIDDEN])
def test_erasure_by_own_id_or_pseudonym_finds_the_same(bench: Bench, account: str) -> None:
    with bench.desk() as at:
        entries = at.openings.positions("account", HIDDEN)
        assert [at.ledger.entry(n).kind for n in entries] == ["link"]
        done = erase_account(at, KEY, account, **WHY)
        assert done.recorded
        assert done.entries == tuple(entries)
        assert [at.openings.of(n) for n in entries] == [{}]
        found, sealed = done.found, at.ledger.entry(at.ledger.size - 1)
    assert (found.account, found.openings, found.links) == (HIDDEN, 1, 1)
    assert (found.exhibits, found.evidence, found.proofs) == (("E2",), ("V2",), 3)
    assert found.events > 100
    assert sealed.body == ErasureEntry(1, 0)
    step = load_case(bench.case / "case.json")[1].steps[-1]
    assert (step.by, step.why) == ("Noa", "request of 3 May")


def test_erasure_twice_is_recorded_once(bench: Bench) -> None:
    with bench.desk() as at:
        erase_account(at, KEY, SENDER, **WHY)
        steps = len(at.case.steps)
        again = erase_account(at, KEY, SENDER, **WHY)
        assert (again.recorded, again.entries, len(at.case.steps)) == (False, (), steps)


def test_erasure_reaches_the_ledger_of_the_run(bench: Bench) -> None:
    log = bench.root / "log"
    with bench.desk() as at:
        with pytest.raises(CaseError, match="does not know the case's pseudonym"):
            erase_account(at, KEY, HIDDEN, **WHY, ledger=log)
        done = erase_account(at, KEY, SENDER, **WHY, ledger=log)
    openings = OpeningFile(log / "private" / "openings.sqlite3")
    assert done.found.elsewhere > 0
    assert openings.positions("account", SENDER) == []
    openings.close()


def test_erasure_of_a_stranger_or_without_reason_is_refused(bench: Bench) -> None:
    with bench.desk() as at:
        with pytest.raises(CaseError, match="holds nothing on that account"):
            erase_account(at, KEY, "nobody", **WHY)
        with pytest.raises(CaseError, match="why it is erased"):
            erase_account(at, KEY, SENDER, **{**WHY, "why": " "})


def test_person_seen_in_a_log_alone_has_nothing_to_erase(bench: Bench) -> None:
    with bench.desk() as at:
        done = erase_account(at, KEY, "v1", **WHY)
    assert not done.recorded
    assert done.found.events > 0
    assert done.found.links == 0


def test_determination_and_report_name_an_erasure(bench: Bench) -> None:
    with bench.desk() as at:
        at.take(StateChanged("closed"), **bench.me)
        before = at.case.determinations["D1"].value
        erase_account(at, KEY, SENDER, **WHY)
        assert not is_current(at.case, before)
        by_method = [evidence_for_party(at.case, "P1", method) for method in (2, 3)]
        known = [{e.case_facts.erased_accounts for e in items} for items in by_method]
        assert known == [{UNSET}, {UNSET, (HIDDEN,)}]
        at.take(StateChanged("reopened"), **bench.me)
        _, made = evidence_intake.prepare_determination(at, "P1", None, None, **bench.me)
        case = at.case
    assert made.result == before.result
    for language, words in (("en", "can no longer be shown"), ("he", "נמחק")):
        sentences = made.sentences(language)
        assert [s for s in sentences if HIDDEN in s and words in s], language
        text = ReportText(language)
        block = parties(ReportSource(bench.case, case, load_settings(), text))
        assert HIDDEN in str(block["blocks"][-1]), language
        assert "request of 3 May" in str(block["blocks"][-1]), language


def test_erase_command_says_what_it_found(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", KEY.hex())
    traces = find_traces(bench.case, load_case(bench.case / "case.json")[1], HIDDEN)
    seal = tmp_path / "seal.key"
    seal.write_text(encode_signer(bench.signer))
    seal.chmod(0o600)
    asked = ["case", "erase", str(bench.case), SENDER, "--why", "request", "--by", "Noa"]
    said = CliRunner().invoke(app, [*asked, "--seal-key", str(seal)])
    assert said.exit_code == 0, said.output
    words = " ".join(said.output.split())
    for part in (
        HIDDEN, "links 1", f"exhibits 1 (E2: {traces.events} events)", "conduct 1 items",
        "proofs 3 sealed decisions", "can no longer be opened: entries", "remains",
    ):  # fmt: skip
        assert part in words, part
    wrong = CliRunner().invoke(
        app, ["ledger", "erase", str(bench.case / "ledger"), "--account", SENDER]
    )
    assert wrong.exit_code != 0
    assert (
        json.loads((bench.case / "case.json").read_bytes())["steps"][-1]["did"]["did"] == "erased"
    )
