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


def events() -> list[dict[str, Any]]:
    """A registration, messages to strangers, then messages that the platform refused."""
    found: list[dict[str, Any]] = [
        {"ts": NOON, "type": "account.registered", "account": SENDER, "attested": False}
    ]
    for n in range(SENT + ATTEMPTED):
        one: dict[str, Any] = {
            "ts": NOON + MINUTE + n * 125, "type": "message.sent", "account": SENDER,
            "peer": f"v{n}", "in_contacts": False,
        }  # fmt: skip
        found.append(one | ({"attempted": True} if n >= SENT else {}))
    return found


def reported(
    directory: Path, language: Language, *, enforce: bool
) -> tuple[ReportSource, Path, RerunManifest]:
    """A case with a run whose evidence is confirmed, as a report reads it."""
    log = events_file(directory / "events.jsonl", events())
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
    assert own.before == ATTEMPTED
    assert len(own.carried["sends"]) <= SENT
    assert len(own.carried["first_contacts"]) <= SENT
    if not enforce:
        assert len(own.carried["sends"]) == SENT


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", f"{ATTEMPTED} of them were refused by the platform itself before they were sent, as "
               f"the log says, and {SENT} were carried."),
        ("he", f"{ATTEMPTED} מהן סורבו בידי הפלטפורמה עצמה לפני שנשלחו"),
    ],
)  # fmt: skip
def test_report_states_what_was_carried(tmp_path: Path, language: Language, said: str) -> None:
    source, _, _ = reported(tmp_path, language, enforce=False)
    (sentence,) = report_conduct.summary_sentences(source)
    assert said in sentence
    assert "none was refused" not in sentence
    blocks = report_conduct.conduct(source)["blocks"]
    counts = next(b for b in blocks if b["kind"] == "table" and len(b["head"]) == 4)
    assert [str(SENT + ATTEMPTED), str(ATTEMPTED), str(SENT)] in [row[1:] for row in counts["rows"]]
    assert source.words("run_before") in [b.get("text") for b in blocks]


def test_figures_of_an_earlier_exhibit_are_of_attempts(tmp_path: Path) -> None:
    _, place, about = reported(tmp_path, "en", enforce=True)
    (place / REFUSED).unlink()
    (own,) = conduct_of_accounts(place, about).values()
    assert own.carried is None
    assert own.before == ATTEMPTED


def test_chronology_export_counts_attempts_as_attempts(tmp_path: Path) -> None:
    source, _, _ = reported(tmp_path, "en", enforce=False)
    exported = export_files(source.directory, source.case, "en")["chronology.csv"].decode()
    assert f"{SENT + ATTEMPTED} messages attempted in all" in exported
