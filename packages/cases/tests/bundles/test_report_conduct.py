"""The platform's figures in a report: what was attempted, refused and carried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.case_workflow import KEY, PARTY, SENDER, Bench
from support.factories import MINUTE, NOON, events_file
from wavebreak import rules
from wavebreak.engine import run
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles import evidence_intake, report_conduct
from wavebreak_cases.bundles.case_exports import export_files
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.bundles.report_settings import load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.reproduction import REFUSED, RunInputs, conduct_of_accounts
from wavebreak_cases.bundles.rerun_manifest import RerunManifest
from wavebreak_cases.cases.case import CaseOpened, PartyNamed
from wavebreak_cases.cases.notices import Language
from wavebreak_cases.cases.parties import Basis, Strength

SENT, ATTEMPTED = 60, 25


def events(sent: int = SENT, attempted: int = ATTEMPTED, receipts: int = 0) -> list[dict[str, Any]]:
    """A registration, messages to strangers, messages that the platform refused, receipts."""
    found: list[dict[str, Any]] = [
        {"ts": NOON, "type": "account.registered", "account": SENDER, "attested": False}
    ]
    for n in range(sent + attempted):
        one: dict[str, Any] = {
            "ts": NOON + MINUTE + n * 125, "type": "message.sent", "account": SENDER,
            "peer": f"v{n}", "in_contacts": False,
        }  # fmt: skip
        found.append(one | ({"attempted": True} if n >= sent else {}))
    found += [
        {"ts": NOON + 2 * MINUTE + n * 125, "type": "message.delivered", "account": f"v{n}",
         "peer": SENDER}
        for n in range(receipts)
    ]  # fmt: skip
    return found


def reported(
    directory: Path, language: Language, *, enforce: bool, **sends: int
) -> tuple[ReportSource, Path, RerunManifest]:
    """A case with a run whose evidence is confirmed, as a report reads it."""
    log = events_file(directory / "events.jsonl", events(**sends))
    edge = Pseudonymizer(KEY, None)
    run(log, directory / "run", rules.load_policy(), edge, enforce=enforce)
    bench = Bench(directory)
    with bench.desk("C-7") as at:
        at.take(CaseOpened("Bulk"), **bench.me)
        at.take(PartyNamed(PARTY), **bench.me)
        taken, about = evidence_intake.add_run_exhibit(
            at, directory / "run", [SENDER], RunInputs(None, None, edge), KEY, bench.actor,
            "investigator",
        )  # fmt: skip
        bench.found(at, taken.id, "on_platform", Basis.NUMBER, Strength.MODERATE)
        case = at.case
    settings = load_settings(language)
    made = ReportSource(bench.case, case, settings, ReportText(language))
    return made, bench.case / taken.path, about


@pytest.mark.parametrize("enforce", [False, True])
def test_what_the_platform_refused_is_not_carried(tmp_path: Path, enforce: bool) -> None:
    _, place, about = reported(tmp_path, "en", enforce=enforce)
    (own,) = conduct_of_accounts(place, about).values()
    assert own.carried is not None
    assert len(own.attempted["sends"]) == SENT + ATTEMPTED
    assert own.counts("sends").platform == ATTEMPTED
    assert len(own.carried["sends"]) <= SENT
    assert len(own.carried["first_contacts"]) <= SENT
    if not enforce:
        assert len(own.carried["sends"]) == SENT


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Refused by enforcement: none, as it was not switched on; refused by the platform "
               f"itself before they were sent: {ATTEMPTED}; carried: {SENT}. The log has no "
               "receipts of delivery."),
        ("he", f"סורבו בידי הפלטפורמה עצמה לפני שנשלחו: {ATTEMPTED}; הועברו: {SENT}."),
    ],
)  # fmt: skip
def test_report_states_what_was_carried(tmp_path: Path, language: Language, said: str) -> None:
    source, _, _ = reported(tmp_path, language, enforce=False)
    (sentence,) = report_conduct.summary_sentences(source)
    assert said in sentence
    blocks = report_conduct.conduct(source)["blocks"]
    counts = next(b for b in blocks if b["kind"] == "table" and len(b["head"]) == 5)
    sends = [str(SENT + ATTEMPTED), "0", str(ATTEMPTED), str(SENT)]
    assert sends in [row[1:] for row in counts["rows"]]
    assert source.words("run_before") in [b.get("text") for b in blocks]


def test_figures_of_an_earlier_exhibit_are_of_attempts(tmp_path: Path) -> None:
    _, place, about = reported(tmp_path, "en", enforce=True)
    (place / REFUSED).unlink()
    (own,) = conduct_of_accounts(place, about).values()
    assert own.carried is None
    assert own.counts("sends") == (SENT + ATTEMPTED, ATTEMPTED, None, None)


def test_chronology_export_counts_attempts_as_attempts(tmp_path: Path) -> None:
    source, _, _ = reported(tmp_path, "en", enforce=False)
    exported = export_files(source.directory, source.case, "en")["chronology.csv"].decode()
    assert f"{SENT + ATTEMPTED} messages attempted in all" in exported


SENDS = {
    "nobody was reached": (0, 120, 0),
    "one message": (1, 0, 1),
    "refused by both": (200, 40, 30),
    "no refusal": (12, 0, 0),
}


@pytest.mark.parametrize("enforce", [False, True])
@pytest.mark.parametrize("kind", SENDS)
def test_counts_are_equal_wherever_they_stand(tmp_path: Path, kind: str, enforce: bool) -> None:
    """Tried = refused by enforcement + refused by the platform + carried, in every document."""
    sent, attempted, receipts = SENDS[kind]
    source, place, about = reported(
        tmp_path, "en", enforce=enforce, sent=sent, attempted=attempted, receipts=receipts
    )
    (own,) = conduct_of_accounts(place, about).values()
    sends = own.counts("sends")
    assert sends.enforcement is not None
    assert sends.carried is not None
    assert sends.attempted == sent + attempted
    assert sends.platform == attempted
    assert sends.attempted == sends.platform + sends.enforcement + sends.carried
    assert enforce or not sends.enforcement
    assert own.receipts == receipts
    (sentence,) = report_conduct.summary_sentences(source)
    tried = "1 message" if sends.attempted == 1 else f"{sends.attempted} messages"
    assert f"attempted {tried} between" in sentence
    assert f"before they were sent: {attempted}; carried: {sends.carried}." in sentence
    said = f"Receipts of delivery in the log: {receipts}." if receipts else "no receipts"
    assert said in sentence
    blocks = report_conduct.conduct(source)["blocks"]
    rows = next(b for b in blocks if b["kind"] == "table" and len(b["head"]) == 5)["rows"]
    numbers = [str(n) for n in (sends.attempted, sends.enforcement, attempted, sends.carried)]
    assert ["messages", *numbers] in [list(row) for row in rows]
    chronology = export_files(source.directory, source.case, "en")["chronology.csv"].decode()
    assert f"{tried} attempted in all" in chronology
    (figure,) = source.figures.values()
    drawn = figure.decode()
    assert ("messages refused by the platform" in drawn) is bool(attempted)
    assert ("messages refused by enforcement" in drawn) is bool(sends.enforcement)
    if not sends.carried:
        assert "sent" not in sentence.partition("Refused")[0]
