"""A later run is looked through for accounts of a party that had a notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.case_workflow import KEY, OTHER, SENDER, Bench, chatting, sending, small_run
from support.factories import DAY, NOON, events_file
from wavebreak import rules
from wavebreak.engine import run
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles.evidence_intake import add_post_notice_evidence
from wavebreak_cases.bundles.reproduction import RunInputs
from wavebreak_cases.cases.case import StateChanged

GIVEN = RunInputs(None, None, Pseudonymizer(KEY, None))
LATER = NOON + 20 * DAY


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A case that was noticed, determined and closed."""
    root = tmp_path_factory.mktemp("continuing")
    made = Bench(root)
    made.whole(small_run(root))
    with made.desk() as at:
        at.take(StateChanged("closed"), **made.me)
    made.wait(40 * DAY)
    return made


def later(root: Path, account: str) -> Path:
    """A run of days after the notice, in which an account goes on."""
    root.mkdir()
    events = [*chatting(LATER, 40), *sending(account, LATER + 600_000, 130, "203.0.113.7")]
    source = events_file(root / "events.jsonl", sorted(events, key=lambda e: int(e["ts"])))
    run(source, root / "out", rules.load_policy(), Pseudonymizer(KEY, None))
    return root / "out"


def watched(bench: Bench, out: Path) -> tuple[list[str], str]:
    with bench.desk() as at:
        found = add_post_notice_evidence(at, out, GIVEN, KEY, bench.actor, "investigator")
        return found, at.case.state


def test_account_active_after_notice_reopens_case_once(bench: Bench, tmp_path: Path) -> None:
    # Another's conduct, and what lies before the notice, change nothing.
    assert watched(bench, later(tmp_path / "other", OTHER)) == ([], "closed")
    assert watched(bench, bench.root / "run") == ([], "closed")
    out = later(tmp_path / "same", SENDER)
    found, state = watched(bench, out)
    assert (len(found), state) == (1, "reopened")
    with bench.desk() as at:
        evidence = at.case.evidence[found[0]]
        assert (evidence.kind, evidence.confirmed) == ("on_platform", "unknown")
        assert evidence.lasted.latest is not None
        assert evidence.lasted.latest > LATER
        assert any("Continuation" in task.what for task in at.case.open_tasks())
        reopened = at.case.steps[-2]
        assert (reopened.by, reopened.did) == ("watch", StateChanged("reopened"))
    assert watched(bench, out) == ([], "reopened")
