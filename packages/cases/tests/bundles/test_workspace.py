"""A case directory: sealed steps, crashes in the middle, what is refused, verbs at a terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.case_workflow import KEY, OTHER, PARTY, SENDER, Bench, small_run
from support.factories import DAY
from wavebreak import rules
from wavebreak.cli import app
from wavebreak.errors import CaseError, ClaimError, UsageError
from wavebreak.ledger import Ledger
from wavebreak.ledger.entries import StepEntry
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.reproduction import RunInputs, extract_run
from wavebreak_cases.bundles.workspace import load_case, salted_digest
from wavebreak_cases.cases.case import CaseOpened, Exhibit, ExhibitAdded, PartyNamed, StateChanged
from wavebreak_cases.cases.date_ranges import format_instant, parse_date
from wavebreak_cases.cases.parties import Basis, DateSource, Evidence, Strength

GIVEN = RunInputs(None, None, Pseudonymizer(KEY, None))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
    return made


def steps_of(bench: Bench) -> list[str]:
    """What the ledger has sealed, step by step."""
    with bench.desk() as at:
        entries = [at.ledger.entry(n) for n in range(at.ledger.size)]
        return [e.body.sha256 for e in entries if isinstance(e.body, StepEntry)]


def test_every_step_is_sealed_in_order_and_names_nobody(bench: Bench) -> None:
    written, case = load_case(bench.case / "case.json")
    assert steps_of(bench) == [salted_digest(written.salt, step) for step in case.steps]
    sealed = (bench.case / "ledger" / "entries.jsonl").read_text("utf-8")
    assert [word for word in ("Noa", "Rapid", "972501234567", "הודעות") if word in sealed] == []


def test_crash_between_sealing_and_writing_is_repaired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, bench.desk() as at:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            at.take(StateChanged("investigating"), **bench.me)
    assert load_case(bench.case / "case.json")[1].state == "opened"
    assert len(steps_of(bench)) == 3
    assert load_case(bench.case / "case.json")[1].state == "investigating"


def test_crash_before_sealing_discards_the_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Ledger, entries: Any) -> range:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, bench.desk() as at:
        patched.setattr(Ledger, "seal", crash)
        with pytest.raises(KeyboardInterrupt):
            at.take(StateChanged("investigating"), **bench.me)
    assert len(steps_of(bench)) == 2
    assert load_case(bench.case / "case.json")[1].state == "opened"
    assert not (bench.case / "case.json.new").exists()


def test_case_is_locked_and_created_once(bench: Bench, tmp_path: Path) -> None:
    with bench.desk(), pytest.raises(CaseError, match="another command"), bench.desk():
        pass
    with pytest.raises(CaseError, match="not empty"), bench.desk("C-7"):
        pass
    bench.case = tmp_path / "none"
    with pytest.raises(CaseError, match="no case"), bench.desk():
        pass
    with pytest.raises(CaseError, match="not well formed"), bench.desk("../C-8"):
        pass


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}", "not well formed"),
        (b'{"id":"C-7","salt":"x","steps":[],"version":1}', "not well formed"),
        (b"\xff", "not well formed"),
        (b'{"id": "C-7","salt":"' + b"0" * 64 + b'","steps":[],"version":1}\n', "canonical"),
    ],
)
def test_edited_case_file_is_refused(bench: Bench, content: bytes, why: str) -> None:
    (bench.case / "case.json").write_bytes(content)
    with pytest.raises(CaseError, match=why):
        load_case(bench.case / "case.json")


def test_too_long_value_is_refused_and_case_unchanged(bench: Bench) -> None:
    before = (bench.case / "case.json").read_bytes()
    with bench.desk() as at, pytest.raises(CaseError, match="by is longer than 300 characters"):
        at.take(StateChanged("investigating"), by="x" * 301, role="investigator")
    assert (bench.case / "case.json").read_bytes() == before
    assert len(steps_of(bench)) == 2


def test_changed_claim_exhibit_is_refused(bench: Bench) -> None:
    claim = bench.claim()
    (claim / "rendered.html").write_text("other words")
    with bench.desk() as at:
        with pytest.raises(CaseError, match="SHA-256 differs"):
            evidence_intake.add_claim_exhibit(at, claim, bench.actor, "investigator")
        (bench.root / "x.bin").write_bytes(b"\0\1")
        with pytest.raises(ClaimError, match="no known form"):
            evidence_intake.add_file_exhibit(at, bench.root / "x.bin", bench.actor, "investigator")
        with pytest.raises(CaseError, match="no file"):
            evidence_intake.add_file_exhibit(at, bench.root / "absent", bench.actor, "investigator")
    assert list((bench.case / "exhibits").iterdir()) == []


def test_custody_continues_in_the_case(bench: Bench) -> None:
    with bench.desk() as at:
        evidence_intake.add_claim_exhibit(at, bench.claim(), bench.actor, "investigator")
    lines = (bench.case / "exhibits" / "E1" / "custody.jsonl").read_text().splitlines()
    assert [json.loads(line)["what"] for line in lines] == [
        "captured from the network", "copied into case C-7 as exhibit E1",
    ]  # fmt: skip
    assert len((bench.root / "claim" / "custody.jsonl").read_text().splitlines()) == 1


def test_run_that_does_not_reproduce_is_refused(bench: Bench, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    rename = make_renamer(case_key(KEY, "C-7"))
    out = tmp_path / "E1"
    about = extract_run(run, [SENDER], GIVEN, rename, tmp_path / "ok")
    assert about.events < len((tmp_path / "events.jsonl").read_text().splitlines()) + 1
    with pytest.raises(CaseError, match="saw nothing of 1"):
        extract_run(run, ["nobody"], GIVEN, rename, out)
    with pytest.raises(CaseError, match="no run"):
        extract_run(tmp_path / "absent", [SENDER], GIVEN, rename, out)
    decisions = (run / "decisions.jsonl").read_text()
    (run / "decisions.jsonl").write_text(decisions.replace('"ban"', '"limit"', 1))
    with pytest.raises(CaseError, match="not what its log, policy and model give"):
        extract_run(run, [SENDER], GIVEN, rename, out)
    summary = (run / "summary.json").read_text()
    version = rules.load_policy().version
    (run / "summary.json").write_text(summary.replace(version, "other-000000000000"))
    with pytest.raises(CaseError, match="the run had policy other"):
        extract_run(run, [SENDER], GIVEN, rename, out)
    (run / "summary.json").write_text(summary)
    (tmp_path / "events.jsonl").write_text("")
    with pytest.raises(CaseError, match="not the log that was run"):
        extract_run(run, [SENDER], GIVEN, rename, out)
    (tmp_path / "events.jsonl").unlink()
    with pytest.raises(CaseError, match="log is not there"):
        extract_run(run, [SENDER], GIVEN, rename, out)
    assert not out.exists()


def test_two_cases_have_different_pseudonyms() -> None:
    names = {make_renamer(case_key(KEY, case))("a", OTHER) for case in ("C-7", "C-8")}
    assert len(names) == 2
    assert make_renamer(case_key(KEY, "C-7"))("g", OTHER)[2:] not in {name[2:] for name in names}


def test_run_with_conduct_after_notice_reopens_case(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.whole(small_run(tmp_path))
    bench.wait(60 * DAY)
    after = parse_date("2026-04-01", "UTC")
    said = DateSource("person", "Noa Bar", "the archive's copy")
    late = Evidence("V9", "P1", "E1", "off_platform", "engaged", after, after, Basis.STATEMENT,
                    Strength.STRONG, violations=("bulk",), lasted_source=said)  # fmt: skip
    with bench.desk() as at:
        assert at.case.state == "determined"
        case = evidence_intake.add_evidence(at, late, **bench.me)
    assert case.state == "reopened"
    assert [task.what.split()[0] for task in case.open_tasks()] == ["Continuation:"]
    assert (case.steps[-1].by, case.steps[-2].why[:3]) == ("watch", "E1 ")


def test_exhibit_path_outside_case_is_refused(bench: Bench) -> None:
    with bench.desk() as at:
        for path, name in (("exhibits/../x", "a"), ("/etc", "a"), ("exhibits/E1", "../a")):
            exhibit: Any = {"id": "E1", "kind": "claim", "title": "t", "path": path,
                            "sha256": {name: "0" * 64}, "captured": 0}  # fmt: skip
            with pytest.raises(CaseError, match="not well formed"):
                at.take(ExhibitAdded(Exhibit(**exhibit)), **bench.me)


class Terminal:
    """The command, with keys and a name of its own."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("HOME", str(place))
        patch.setenv("WAVEBREAK_BY", "Noa Bar")
        patch.setenv("WAVEBREAK_KEY", KEY.hex())
        patch.chdir(place)

    def __call__(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == code or done.exception is not None, done.output
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output


def _sign(w: Terminal, mine: str, hers: str) -> None:
    """Sign as the preparer, as nobody that the case names, and as counsel."""
    w("case", "signer", "C-7", "Noa Bar", "--key", mine)
    with pytest.raises(CaseError, match="four eyes"):
        w("case", "sign", "C-7", "D2", "--signing-key", "noa.key")
    with pytest.raises(UsageError, match="names nobody with the key"):
        w("case", "sign", "C-7", "D2", "--signing-key", "levi.key")
    w("case", "signer", "C-7", "Adv. Levi", "--key", hers)
    w("case", "sign", "C-7", "D2", "--signing-key", "levi.key")


def _record_as_sent(w: Any, command: list[str]) -> None:
    """A letter is recorded by its draft, and with its proof only."""
    assert "notice sent" not in w("case", "show", "C-7")
    with pytest.raises(UsageError, match="needs its date and its proof"):
        w(*command)
    now = format_instant(time.time_ns() // 10**6)
    assert "notice sent: N1" in w(*command, "--sent", now, "--exhibit", "E1")


def test_a_case_from_opening_to_bundle_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(tmp_path)
    w = Terminal(tmp_path, monkeypatch)
    (tmp_path / "page.html").write_text("<html><p>80,000 a day</p></html>")
    w("case", "open", "C-7", "--title", "Bulk Co")
    w("case", "party", "C-7", "Bulk Co Ltd", "--domain", "bulk.example")
    w("case", "party", "C-7", "Bulk Co", "--site", "https://www.bulk.example/prices")
    assert "may be one" in w("case", "merge", "C-7", "--wide")
    (proposal,) = json.loads(w("case", "merge", "C-7", "--json"))
    assert {proposal["party"], proposal["other"]} == {"P1", "P2"}
    why = ["--by", "Noa Bar", "--why", "one register entry", "--json"]
    merged = json.loads(w("case", "merge", "C-7", "P1", "P2", *why))
    assert merged["why"] == "one register entry"
    w("case", "exhibit", "C-7", "page.html", "--title", "Price page")
    w("case", "advance", "C-7", "investigating")
    dates = ["--began", "about November 2019", "--until", "unknown", "--zone", "UTC"]
    item = ["case", "evidence", "C-7", "E1", "--party", "P1", "--strength", "strong", *dates]
    item += ["--conduct", "engaged", "--violation", "bulk"]
    with pytest.raises(CaseError, match="needs its basis"):
        w(*item)
    w(*item, "--date-basis", "the archive's copy")
    with pytest.raises(UsageError, match="V1 was not confirmed"):
        w("case", "confirm", "C-7", "V1")
    shown = w("case", "confirm", "C-7", "V1", "--yes", "--why", "the offer is plain")
    assert "lasted until not known" in shown
    assert "D1: undetermined" in w("case", "determine", "C-7", "P1")
    w("case", "link", "C-7", "P1", SENDER, "--basis", "number_in_claim", "--strength", "strong",
      "--exhibit", "E1")  # fmt: skip
    w("case", "evidence", "C-7", str(run), "--account", SENDER, "--party", "P1", "--model", "none",
      "--conduct", "engaged", "--violation", "automated")  # fmt: skip
    assert "by the accounts' own first and last acts" in w("case", "confirm", "C-7", "V2", "--yes")
    letter = w("case", "notice", "C-7", "P1", "--operator", "Example", "--contact", "a@b.example",
               "--language", "he", "-o", "letter")  # fmt: skip
    assert "דרישה להפסיק" in letter
    _record_as_sent(w, ["case", "notice", "C-7", "P1", "--letter", "letter/N1.json"])
    w("case", "delivery", "C-7", "N1", "--exhibit", "E1", "--how", "courier")
    assert "evidence: none" in w("case", "watch", "C-7", str(run), "--model", "none")
    w("case", "advance", "C-7", "noticed")
    assert "D2: eligible" in w("case", "determine", "C-7", "P1")
    mine, hers = (
        w("ledger", "keygen", name, "-o", f"{name}.key").strip() for name in ("noa", "levi")
    )
    _sign(w, mine, hers)
    w("case", "task", "C-7", "call the registrar", "--due", "2026-01-01T00:00:00Z")
    assert "late: T1" in w("case", "show", "C-7")
    w("case", "advance", "C-7", "determined")
    assert "verify C-7.zip --key" in w("bundle", "C-7", "-o", "C-7.zip")
    assert "give --key" in w("verify", "C-7.zip", code=4)
    key = (tmp_path / "C-7" / "ledger" / "key.pub").read_text().strip()
    found = json.loads(w("verify", "C-7.zip", "--key", key, "--json"))
    assert {finding["holds"] for finding in found} == {True}
    assert SENDER not in (tmp_path / "C-7" / "case.json").read_text()
