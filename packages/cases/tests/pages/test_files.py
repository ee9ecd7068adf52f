"""Cases as the console lists and reads them: rows, links of accounts, locks, conditions."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.legal_cases import ACCOUNT, SIGNER, case_at, demo_at, store_at
from support.service_harness import migrated, now_ms
from wavebreak_cases.bundles.workspace import CASE
from wavebreak_cases.cases.case import StateChanged, TaskFinished
from wavebreak_cases.pages import files
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_cases.pages.demo_case import CASE_ID
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import EnforcementState


@pytest.fixture
def database(tmp_path: Path) -> Iterator[None]:
    with migrated("sqlite", tmp_path):
        yield


@pytest.fixture
def demo(tmp_path: Path) -> tuple[CaseStore, Path]:
    return demo_at(tmp_path / "cases")


def person(name: str, role: str = "counsel", shown: str = "") -> User:
    return User(username=name, role=role, display_name=shown)


def test_list_of_no_directory_is_empty(tmp_path: Path) -> None:
    assert files.list_cases(store_at(tmp_path / "none"), now_ms()) == ([], {})


def test_list_has_state_parties_deadline_result(demo: tuple[CaseStore, Path]) -> None:
    rows, counts = files.list_cases(demo[0], now_ms())
    assert counts == {"noticed": 1}
    row = rows[0]
    assert (row.id, row.state, row.open_tasks) == (CASE_ID, "noticed", 2)
    assert row.parties[0] == "Rapid Reach Ltd"
    assert row.overdue
    assert row.results == (("eligible", False, True),)
    assert row.newest_words.startswith("task: Ask the register")


def test_list_by_another_state_is_empty(demo: tuple[CaseStore, Path]) -> None:
    assert files.list_cases(demo[0], now_ms(), "closed")[0] == []


def test_list_names_damaged_case_and_shows_others(demo: tuple[CaseStore, Path]) -> None:
    store, _ = demo
    broken = store.directory / "C-2"
    broken.mkdir()
    (broken / CASE).write_text("{}")
    (store.directory / ".bundles").mkdir()
    rows, _ = files.list_cases(store, now_ms())
    assert [bool(row.error) for row in rows] == [False, True]
    assert str(store.directory) not in rows[1].error


def test_unsigned_determination_waits_for_another_of_its_role(
    demo: tuple[CaseStore, Path],
) -> None:
    store, path = demo
    waiting = files.unsigned_by(store, person("other"))
    assert [(each.case, each.id) for each in waiting] == [(CASE_ID, "D1")]
    preparer = case_at(path).determinations["D1"].by.removeprefix("user:")
    assert files.unsigned_by(store, person(preparer)) == []
    assert files.unsigned_by(store, person("other", role="lead")) == []


@pytest.mark.parametrize("name", ["..", ".bundles", "../cases", "C-9", "a/b", ""])
def test_load_of_no_case_is_not_found(demo: tuple[CaseStore, Path], name: str) -> None:
    with pytest.raises(ApiError) as caught:
        files.load(demo[0], name)
    assert caught.value.status == 404


def test_cases_of_account_finds_link_by_pseudonym(demo: tuple[CaseStore, Path]) -> None:
    store, path = demo
    found = files.cases_of_account(store, ACCOUNT)
    assert [(c.id, c.party, c.basis, c.account) for c in found] == [
        (CASE_ID, "Rapid Reach Ltd", "number in claim", ACCOUNT)
    ]
    assert files.cases_of_account(store, "bob") == []
    assert ACCOUNT not in {link.account for link in case_at(path).links}


def test_cases_of_account_under_another_key_finds_nothing(demo: tuple[CaseStore, Path]) -> None:
    other = CaseStore(demo[0].directory, SIGNER, b"another key of the deployment...")
    assert files.cases_of_account(other, ACCOUNT) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [("Rapid Reach Ltd", True), ("RAPID  reach, Ltd.", True), ("rapid reach", True),
     ("Rapid", False), ("", False), ("Ltd", False), ("%", False), ("ראפיד", False)],
)  # fmt: skip
def test_cases_of_names_are_those_of_a_party(
    demo: tuple[CaseStore, Path], name: str, found: bool
) -> None:
    cases = files.cases_of_names(demo[0], ["dana", name, name])
    parties = ["Rapid Reach Ltd", "Rapid-Reach Limited"] if found else []
    assert [(c.id, c.party, c.name) for c in cases] == [(CASE_ID, p, name) for p in parties]


@pytest.mark.usefixtures("database")
def test_account_names_are_those_with_an_outcome(demo: tuple[CaseStore, Path]) -> None:
    store, path = demo
    loaded = files.load(store, CASE_ID)
    EnforcementState.objects.create(account=ACCOUNT, outcome="ban", ts=1, decision=1)
    EnforcementState.objects.create(account="bob", outcome="limit", ts=1, decision=2)
    hidden = case_at(path).links[0].account
    assert files.account_names(store, loaded) == {hidden: ACCOUNT}


def test_act_on_case_in_use_is_refused_soon(
    demo: tuple[CaseStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = demo
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.2)
    with (path / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        opened = files.open_for_act(store, CASE_ID, now_ms)
        with pytest.raises(ApiError) as caught:
            opened.__enter__()
        assert time.monotonic() - began < 5
    assert caught.value.status == 409
    assert caught.value.what == f"somebody else is writing to case {CASE_ID}"


def test_step_by_command_shows_at_the_next_request(demo: tuple[CaseStore, Path]) -> None:
    store, _ = demo
    assert files.load(store, CASE_ID).case.state == "noticed"
    with files.open_for_act(store, CASE_ID, now_ms) as workspace:
        workspace.take(StateChanged("reopened"), by="Noa Bar", role="investigator")
    assert files.load(store, CASE_ID).case.state == "reopened"
    assert files.list_cases(store, now_ms())[1] == {"reopened": 1}


def test_transitions_agree_with_the_workflow(demo: tuple[CaseStore, Path]) -> None:
    store, path = demo
    offered = files.transitions(case_at(path), person("dana"), now_ms())
    assert {t.to: t.allowed for t in offered} == {
        "determined": False,
        "closed": False,
        "reopened": True,
    }
    for t in offered:
        assert t.allowed is all(c.holds for c in t.checks), t.to
        assert all(c.fix for c in t.checks if not c.holds)
    with files.open_for_act(store, CASE_ID, now_ms) as workspace:
        for task in ("T1", "T2"):
            workspace.take(TaskFinished(task), by="user:dana", role="counsel")
    closing = files.transitions(case_at(path), person("dana"), now_ms())
    assert {t.to: t.allowed for t in closing}["closed"]


@pytest.mark.parametrize(
    ("user", "failing"),
    [
        (person("dana"), []),
        (person("investigator"), ["Somebody else prepared it"]),
        (person("dana", shown="User:Investigator"), ["Somebody else prepared it"]),
        (person("dana", "auditor"), ["You have the role counsel"]),
    ],
)
def test_signing_needs_another_counsel(
    demo: tuple[CaseStore, Path], user: User, failing: list[str]
) -> None:
    case = case_at(demo[1])
    checks = files.signing_checks(case, case.determinations["D1"], user)
    assert [c.what for c in checks if not c.holds] == failing


def test_deadlines_begin_with_the_overdue_answer(demo: tuple[CaseStore, Path]) -> None:
    found = files.deadlines(case_at(demo[1]), now_ms())
    assert [(d.id, d.overdue) for d in found] == [("N1", True), ("T1", False), ("T2", False)]


def test_next_case_id_is_free(demo: tuple[CaseStore, Path]) -> None:
    assert files.next_case_id(demo[0], 2026) == "C-2026-2"
    assert files.next_case_id(store_at(demo[0].directory / "none"), 2027) == "C-2027-1"
