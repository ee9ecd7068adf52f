"""Accounts are judged by what the sources carry that report their acts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.parity_streams import MINUTE, START, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.account_queries import challenged_accounts
from wavebreak.engine.decision import Decision
from wavebreak.engine.eviction import evict
from wavebreak.engine.policy_change import carried_state
from wavebreak.engine.queries import Held
from wavebreak.errors import SnapshotError
from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import SEVERAL
from wavebreak.outcomes import Outcome
from wavebreak.rules import EnforcementTerms, Policy, Rule
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile, declared
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import TYPES

SENDS = ("message.sent",)
GROUPS = (*SENDS, "group.created")


def _rule(name: str, on: str, when: str, outcome: Outcome, **fields: Any) -> Rule:
    given: dict[str, Any] = {
        "abuse": "bulk", "about": "What it is about.", "source": "Where it is from.",
        "stage": "messaging", "mode": "enforce", "basis": "evidence", "hold": "24h",
        "fires_on": ({"sends_1d": 1.0},), "stays_quiet_on": ({"sends_1d": 1.0},),
    } | fields  # fmt: skip
    return Rule(id=name, on=(on,), when=(when,), outcome=outcome, **given)


POLICY = Policy(
    "tested",
    (
        _rule("many_sends", "sent", "sends_1d >= 8", "restrict"),
        _rule("many_groups", "group_created", "groups_created_1d >= 2", "suspend"),
        _rule("groupless", "sent", "sends_1d + groups_created_1d >= 3", "limit", new_chats_1d=2),
        _rule("asked", "sent", "sends_1d == 2", "challenge"),
    ),
    rules.load_policy().actions,
    EnforcementTerms(
        new_chats_1d=5, suspend_after=3, double_at_most=2, observe="24h", grace="1h",
        benign_grace="7d",
    ),
    NAMES,
    KINDS,
)  # fmt: skip


def stream(**sources: Profile) -> Profile:
    """Return the profile of a stream of two sources; the chat server carries more."""
    named = {
        "chat": declared(GROUPS), "gateway": declared(SENDS, challenges=False)
    } | sources  # fmt: skip
    return dataclasses.replace(declared(SENDS, challenges=False), sources=named)


def engine(profile: Profile | None = None, **given: Any) -> Engine:
    return Engine(POLICY, profile or stream(), accounts=64, secret=bytes(16), **given)


class Log:
    """Writes events of accounts, each sent by a source."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, by: str | None, account: str, kind: str, **fields: Any) -> None:
        at = len(self.rows)
        self.rows.append(
            {"id": f"e{at}", "ts": START + at * MINUTE // 8, "type": TYPES.index(kind),
             "account": account, "stream_source": by} | fields
        )  # fmt: skip

    def send(self, source: str | None, account: str, times: int) -> None:
        for n in range(times):
            self.add(source, account, "message.sent", peer=f"{account}-{n}")

    def group(self, source: str | None, account: str, times: int) -> None:
        for n in range(times):
            self.add(source, account, "group.created", group=f"{account}-{n}")


def two_sources() -> Log:
    """Return the log of abusers: of the chat server, of the gateway, of both, and of no source."""
    written = Log()
    for account, sources in (
        ("of-chat", ("chat", "chat")),
        ("of-gateway", ("gateway", "gateway")),
        ("of-both", ("chat", "gateway")),
        ("of-none", (None, "chat")),
        ("undeclared", ("unknown", "unknown")),
    ):
        written.send(sources[0], account, 4)
        written.group(sources[1], account, 3)
    return written


def by_account(decisions: list[Decision]) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for one in decisions:
        found.setdefault(one.account, []).append((one.outcome, *one.rules))
    return found


CHALLENGED = ("challenge", "asked")
SLOWED = ("limit", "asked")
EXPECTED = {
    "of-chat": [CHALLENGED, ("limit", "groupless"), ("suspend", "many_groups")],
    "of-gateway": [SLOWED],
    "of-both": [CHALLENGED, ("limit", "groupless")],
    "of-none": [SLOWED],
    "undeclared": [SLOWED],
}


def test_accounts_are_judged_by_what_their_source_carries() -> None:
    made = engine()
    decisions = made.take(log(two_sources().rows)) + made.finish()
    assert by_account(decisions) == EXPECTED
    assert made.program.not_covered == ("many_groups", "groupless")
    assert made.rules_off == ()


def test_one_coverage_for_all_switches_rules_off_for_everybody() -> None:
    whole = dataclasses.replace(stream(), sources={})
    made = engine(whole)
    decisions = made.take(log(two_sources().rows)) + made.finish()
    assert set(map(tuple, by_account(decisions).values())) == {(SLOWED,)}
    assert made.rules_off == ("many_groups", "groupless")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 7])
def test_decisions_depend_neither_on_batches_nor_on_restarts(
    size: int, workers: int, tmp_path: Path
) -> None:
    written = log(two_sources().rows)
    whole = engine()
    expected = whole.take(written) + whole.finish()
    part, made = engine(workers=workers), list[Decision]()
    for n, at in enumerate(range(0, written.num_rows, size)):
        made += part.take(written.slice(at, size))
        if n % 3 == 2:
            snapshot.save(part, tmp_path / "state")
            part = engine(workers=workers)
            snapshot.restore(part, tmp_path / "state")
    assert made + part.finish() == expected


def test_values_are_missing_that_the_source_of_an_account_does_not_carry() -> None:
    made = engine()
    made.take(log(two_sources().rows))
    at = NAMES.index("groups_created_1d")
    slots = {name: n for n, name in enumerate(made.fanout.accounts.texts(
        list(range(made.core.accounts))).to_pylist())}  # fmt: skip
    values = {name: float(made.core.values_of(slots[name])[at]) for name in EXPECTED}
    assert values.pop("of-chat") == 3
    assert np.isnan(list(values.values())).all()


def test_labels_do_not_change_who_reports_an_account() -> None:
    written = Log()
    written.send("chat", "ann", 1)
    written.add(None, "ann", "label.assigned", label=0, source=0)
    written.group("chat", "ann", 2)
    made = engine()
    assert ("suspend", "many_groups") in by_account(made.take(log(written.rows)))["ann"]


def test_what_others_do_does_not_change_who_reports_an_account() -> None:
    written = Log()
    written.group("chat", "ann", 1)
    written.add("gateway", "ben", "message.sent", peer="ann")
    written.group("chat", "ann", 1)
    made = engine()
    assert by_account(made.take(log(written.rows)))["ann"] == [("suspend", "many_groups")]


def test_accounts_from_before_the_declaration_are_judged_by_what_all_carry(tmp_path: Path) -> None:
    before = engine(dataclasses.replace(stream(), sources={}))
    written = Log()
    written.send("chat", "ann", 1)
    before.take(log(written.rows))
    after = engine()
    snapshot.write(carried_state(before, after), tmp_path / "state")
    snapshot.restore(after, tmp_path / "state")
    assert after.core.source_of(0) == SEVERAL
    later = Log()
    later.rows = list(written.rows)
    later.group("chat", "ann", 3)
    later.group("chat", "new", 3)
    found = by_account(after.take(log(later.rows[1:])))
    assert found == {"new": [("suspend", "many_groups")]}


def test_questions_are_answered_by_the_source_of_the_account_and_change_none() -> None:
    made = engine()
    written = Log()
    written.group("chat", "ann", 1)
    made.take(log(written.rows))
    asked = Log()
    asked.rows = list(written.rows)
    for source in (None, "chat", "gateway"):
        asked.group(source, "ann", 1)
    outcomes = [
        made.trial(log([row | {"id": f"q{n}"}])).outcome for n, row in enumerate(asked.rows[1:])
    ]
    assert outcomes == [5, 5, 0]
    assert made.core.source_of(0) == made.fanout.sources.index("chat") + 1


def test_challenges_are_asked_of_the_accounts_of_who_can() -> None:
    made = engine()
    made.take(log(two_sources().rows))
    able = challenged_accounts.read(Held.by(made, [*EXPECTED, "nobody"]))
    assert able == dict.fromkeys((*EXPECTED, "nobody"), False) | {"of-chat": True}
    assert made.challenges_anyone


def test_eviction_keeps_who_reports_the_others() -> None:
    made = engine()
    written = Log()
    written.send("gateway", "idle", 1)
    written.rows[0]["ts"] -= 20 * 3_600_000
    written.send("chat", "ann", 1)
    made.take(log(written.rows))
    left, gone = evict(made.dump(), START // 1000 - 3_600)
    again = engine()
    again.load(left)
    assert gone == 2
    assert challenged_accounts.read(Held.by(again, ["ann"])) == {"ann": True}


def test_snapshot_of_other_sources_is_not_used(tmp_path: Path) -> None:
    snapshot.save(engine(), tmp_path / "state")
    other = engine(stream(gateway=declared(GROUPS)))
    with pytest.raises(SnapshotError, match="sources"):
        snapshot.restore(other, tmp_path / "state")


def test_profile_with_sources_is_read_as_written(tmp_path: Path) -> None:
    coverage.save(stream(), tmp_path / "profile.json")
    assert coverage.load(tmp_path / "profile.json") == stream()
    coverage.save(declared(SENDS), tmp_path / "plain.json")
    assert "sources" not in (tmp_path / "plain.json").read_text("utf-8")
