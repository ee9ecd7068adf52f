"""Redaction in a case: the copy in report and bundle, the original's digest under seal."""

from __future__ import annotations

import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import pypdf
import pytest
from typer.testing import CliRunner

from support.case_workflow import KEY, PARTY, Bench
from wavebreak.cli import app
from wavebreak.errors import CaseError
from wavebreak.ledger.checkpoints import encode_signer
from wavebreak.ledger.verifier import VerifierError, canonical
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.archive_writer import write_bundle
from wavebreak_cases.bundles.case_draft import CaseDraft, DraftMeans, draft_case
from wavebreak_cases.bundles.exhibit_redaction import (
    exhibits_that_name,
    is_guessable,
    redact_exhibit,
    shown_case,
    steps_that_name,
    suggest_marks,
)
from wavebreak_cases.bundles.verify import check_redactions, check_steps, exit_code, verify_bundle
from wavebreak_cases.bundles.workspace import load_case, salted_digest
from wavebreak_cases.cases.case import CaseOpened, ExhibitAdded, PartyNamed
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.claims.redaction import Marks, TextMark

NOA = Actor("Noa Bar", "here", "a customer, no party", "order 4")
MARKS = Marks((TextMark("phone", "050-765-4321"), TextMark("name", "Dana Levi")))
TEXT = "We send 80,000 bulk messages a day. Dana Levi, 050-765-4321, ordered it."


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    chat = tmp_path / "chat.txt"
    chat.write_text(TEXT)
    with made.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **made.me)
        at.take(PartyNamed(PARTY), **made.me)
        evidence_intake.add_file_exhibit(at, chat, made.actor, "investigator", title="Chat")
        evidence_intake.add_claim_exhibit(at, made.claim(), made.actor, "investigator")
    return made


def redacted(bench: Bench, marks: Marks = MARKS) -> Path:
    """Redact E1 and pack; the unpacked payload."""
    with bench.desk() as at:
        redact_exhibit(at, "E1", marks, NOA, "investigator")
        write_bundle(at, bench.root / "C-7.zip")
    with zipfile.ZipFile(bench.root / "C-7.zip") as archive:
        archive.extractall(bench.root / "unpacked")
    return bench.root / "unpacked" / "C-7" / "data"


def test_bundle_holds_the_copy_and_no_digest_of_the_original(bench: Bench) -> None:
    data = redacted(bench)
    kept = load_case(bench.case / "case.json")[0]
    original = next(s.did.exhibit for s in kept.steps if isinstance(s.did, ExhibitAdded))
    withheld = {*original.sha256.values(), str(original.nonce), sha256(TEXT.encode()).hexdigest()}
    assert len(withheld) == 4
    for path in data.rglob("*"):
        if path.is_file():
            raw = path.read_bytes().decode("latin-1")
            assert [digest for digest in withheld if digest in raw] == [], path.name
            assert not re.search(r"Dana\s+Levi|765-?4321", raw), path.name
    pages = [page.extract_text() for page in pypdf.PdfReader(data / "report.pdf").pages]
    assert "Dana" not in "".join(pages)
    assert "redacted copy" in "".join(pages)
    assert sorted(p.name for p in (data / "exhibits").iterdir()) == ["E1R1", "E2"]
    assert (bench.case / "exhibits" / "E1" / "original.txt").read_text() == TEXT
    assert "[redacted: name]" in (data / "exhibits" / "E1R1" / "redacted.txt").read_text()


def test_verify_says_what_is_redacted_and_checks_the_rest(bench: Bench) -> None:
    redacted(bench)
    findings = {f.what: f for f in verify_bundle(bench.root / "C-7.zip", [bench.signer.key])}
    assert [f.what for f in findings.values() if f.holds is not True] == ["redaction"]
    assert exit_code(list(findings.values())) == 5
    said = findings["redaction"].said
    for part in ("E1 is a redacted copy, made by Noa Bar (a customer, no party)", "name 1, phone 1",
                 "Not checked: the originals"):  # fmt: skip
        assert part in said, part
    assert "1 of them as a sealed redaction shows them" in findings["steps"].said


def test_withheld_step_is_bound_by_the_sealed_redaction(bench: Bench) -> None:
    data = redacted(bench)
    written, case = load_case(data / "case.json")
    assert "as a sealed redaction" in check_steps(data, written)
    other = copytree(data, bench.root / "other")
    edited = json.loads((other / "case.json").read_bytes())
    edited["steps"][2]["did"]["exhibit"]["title"] = "Another"
    (other / "case.json").write_text(canonical(edited) + "\n")
    with pytest.raises(VerifierError, match="step 3 is not as it was sealed"):
        check_steps(other, load_case(other / "case.json")[0])
    copy = other / "exhibits" / "E1R1" / "redacted.txt"
    copy.write_text(copy.read_text().replace("[redacted: name]", "Dana Levi"))
    with pytest.raises(VerifierError, match="0 marks of a removed name"):
        check_redactions(other, case)


def test_holder_of_the_original_can_check_its_sealed_digest(bench: Bench) -> None:
    redacted(bench)
    kept = load_case(bench.case / "case.json")[0]
    with bench.desk() as at:
        entries = [at.ledger.entry(n) for n in range(at.ledger.size)]
    sealed = [e.body.sha256 for e in entries if e.kind == "step"]  # type: ignore[attr-defined]
    assert sealed[2] == salted_digest(kept.salt, kept.steps[2])
    assert sealed[2] != salted_digest(kept.salt, shown_case(kept).steps[2])


def test_second_redaction_hides_the_first_copy(bench: Bench) -> None:
    with bench.desk() as at:
        redact_exhibit(at, "E1", Marks(MARKS.texts[:1]), NOA, "investigator")
    data = redacted(bench)
    assert [p.name for p in (data / "exhibits").iterdir() if p.name != "E2"] == ["E1R2"]
    findings = verify_bundle(bench.root / "C-7.zip", [bench.signer.key])
    assert [f.what for f in findings if f.holds is not True] == ["redaction"]
    first = load_case(bench.case / "case.json")[0].steps[4].did
    digests = set(first.redaction.sha256.values())  # type: ignore[union-attr]
    shown = (data / "case.json").read_text()
    assert [digest for digest in digests if digest in shown] == []


def test_redaction_is_refused_where_it_says_nothing(bench: Bench) -> None:
    with bench.desk() as at:
        for marks, actor, words in (
            (Marks(), NOA, "nothing is marked"),
            (MARKS, Actor("Noa", "here"), "why it is redacted"),
        ):
            with pytest.raises(CaseError, match=words):
                redact_exhibit(at, "E1", marks, actor, "investigator")
        with pytest.raises(CaseError, match="no exhibit E9"):
            redact_exhibit(at, "E9", MARKS, NOA, "investigator")
        assert not list((bench.case / "exhibits").glob("E1R*"))
        assert not is_guessable(at.case, "E1")


def test_steps_that_name_what_was_removed_are_listed(bench: Bench) -> None:
    with bench.desk() as at:
        assert [s.text for s in suggest_marks(at, "E1", ["Dana Levi"])] == [
            "050-765-4321", "Dana Levi",
        ]  # fmt: skip
        assert steps_that_name(at.case.steps, MARKS) == []
        about = TextMark("name", "Rapid Messages Ltd")
        assert steps_that_name(at.case.steps, Marks((about,))) == [2]


def named_elsewhere(bench: Bench, text: str, title: str = "") -> None:
    """Take in another exhibit, and redact the first."""
    (bench.root / "reply.txt").write_text(text, "utf-8")
    with bench.desk() as at:
        evidence_intake.add_file_exhibit(
            at, bench.root / "reply.txt", bench.actor, "investigator", title=title
        )
        redact_exhibit(at, "E1", MARKS, NOA, "investigator")


def test_other_exhibits_that_name_what_was_removed_are_listed(bench: Bench) -> None:
    named_elsewhere(bench, "Answer to L E V I Dana of 0507654321.")
    with bench.desk() as at:
        found = exhibits_that_name(at, MARKS, "E1")
        assert found == [("E3", "its text"), ("E3", "words")]
        with pytest.raises(CaseError, match=r"still stands in exhibits/E3") as refused:
            write_bundle(at, bench.root / "C-7.zip")
        assert "E1R1" not in refused.value.what
        assert not (bench.root / "C-7.zip").exists()
        redact_exhibit(at, "E3", MARKS, NOA, "investigator")
        assert exhibits_that_name(at, MARKS) == []
        write_bundle(at, bench.root / "C-7.zip")


def test_report_that_names_what_was_removed_is_not_packed(bench: Bench) -> None:
    """A title stands in a sealed step, in the chronology and in the list of exhibits."""
    named_elsewhere(bench, "Nothing here.", title="Call with Dana Levi")
    with bench.desk() as at:
        with pytest.raises(CaseError, match=r"case\.json \(words\).*report\.pdf"):
            write_bundle(at, bench.root / "C-7.zip")
        write_bundle(at, bench.root / "C-7.zip", with_names=True)
    with zipfile.ZipFile(bench.root / "C-7.zip") as archive:
        assert not [name for name in archive.namelist() if "private" in name]


def test_redact_command_suggests_and_then_redacts(bench: Bench, tmp_path: Path) -> None:
    seal = tmp_path / "seal.key"
    seal.write_text(encode_signer(bench.signer))
    seal.chmod(0o600)
    asked = ["case", "redact", str(bench.case), "E1", "--seal-key", str(seal)]
    shown = CliRunner().invoke(app, [*asked, "--name", "dana levi"])
    assert shown.exit_code == 0, shown.output
    assert "050-765-4321" in shown.output
    assert "nothing was redacted" in shown.output
    done = CliRunner().invoke(
        app, [*asked, "--phones", "--name", "dana levi", "--why", "no party", "--by", "Noa"]
    )
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "C-7, step 5: E1 redacted, removed: name 1, phone 1" in words


def test_drafting_again_knows_a_redacted_exhibit(bench: Bench) -> None:
    def never(*_given: object) -> None:
        raise AssertionError("nothing is captured, and no run is read")

    means = DraftMeans(bench.actor, "investigator", KEY, never, never)  # type: ignore[arg-type]
    draft = CaseDraft(party=PARTY.name, file=(str(bench.root / "chat.txt"),))
    with bench.desk() as at:
        redact_exhibit(at, "E1", MARKS, NOA, "investigator")
        draft_case(at, draft, means)
        assert list(at.case.exhibits) == ["E1", "E2"]
        assert at.case.exhibits["E1"].path == "exhibits/E1R1"
