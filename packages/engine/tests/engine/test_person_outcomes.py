"""Outcomes that a person sets: their end, what they ease, and what may follow."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.parity_streams import DAY, HOUR, MINUTE, SECOND, START, Row, log, rows, some_steps
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.engine.decision import Decision
from wavebreak.engine.mode_switch import switch_mode
from wavebreak.features.catalog import NAMES
from wavebreak.outcomes import OUTCOMES, Outcome
from wavebreak.rules import EnforcementTerms, Policy, Rule
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import TYPES, UNDETERMINED

GRACE = 7 * DAY


def _rule(name: str, on: str, when: str, outcome: Outcome, **fields: Any) -> Rule:
    given: dict[str, Any] = {
        "abuse": "bulk", "about": "What it is about.", "source": "Where it is from.",
        "stage": "messaging", "mode": "enforce", "basis": "evidence",
        "fires_on": ({"sends_1d": 1.0},), "stays_quiet_on": ({"sends_1d": 1.0},),
    } | fields  # fmt: skip
    return Rule(id=name, on=(on,), when=(when,), outcome=outcome, **given)


TERMS = EnforcementTerms(
    new_chats_1d=5, suspend_after=3, double_at_most=2, observe="24h", grace="1h", benign_grace="7d"
)
POLICY = Policy(
    "tested",
    (
        _rule("many_sends", "sent", "sends_7d >= 3", "ban"),
        _rule("many_chats", "session", "started_chats >= 2", "restrict", hold="24h"),
        _rule("many_groups", "group_created", "groups_created_1d >= 2", "suspend", hold="24h"),
        _rule("inhuman", "sent", "sends_15s >= 8", "ban", basis="impossible"),
        _rule("new_device", "session", "device_age_s >= 0", "limit", hold="1h",
              basis="doubt", new_chats_1d=0),
        _rule("confirmed", "labelled", "label_abusive == 1", "ban", basis="person",
              stage="review"),
    ),
    rules.load_policy().actions,
    TERMS,
    NAMES,
    KINDS,
)  # fmt: skip


class Account:
    """One account and the engine that decides about it; times in ms after the start."""

    def __init__(self, *, enforce: bool = False) -> None:
        self.engine = Engine(POLICY, accounts=64, enforce=enforce)
        self.number, self.made = 0, list[Decision]()

    def does(self, kind: str, at: int, **fields: Any) -> list[Decision]:
        """Take one event of the account; return the decisions about it."""
        self.number += 1
        row: Row = {"id": f"e{self.number}", "ts": START + at, "type": TYPES.index(kind),
                    "account": "a"} | fields  # fmt: skip
        # Others keep the log's time near, so that none of its dates is far ahead.
        quiet = [{"id": f"q{self.number}-{n}", "ts": START + at, "account": "z",
                  "type": TYPES.index("challenge.failed")} for n in range(9)]  # fmt: skip
        made = [d for d in self.engine.take(log([*quiet, row])) if d.account == "a"]
        self.made += made
        return made

    def sends(self, many: int, at: int) -> list[Decision]:
        """Send messages to strangers, twenty seconds apart."""
        return [
            decision
            for i in range(many)
            for decision in self.does("message.sent", at + 20_000 * i, peer=f"p{at}-{i}")
        ]

    def judged(
        self, at: int, outcome: str | None = None, hold_s: int | None = None,
        label: int = UNDETERMINED,
    ) -> list[Decision]:  # fmt: skip
        """A person assigns a label, and may set an outcome."""
        code = None if outcome is None else OUTCOMES.index(outcome)
        return self.does("label.assigned", at, label=label, source=0, outcome=code, hold_s=hold_s)

    @property
    def row(self) -> Any:
        return self.engine.core.row_of(int(self.engine.fanout.accounts.find(pa.array(["a"]))[0]))

    @property
    def state(self) -> tuple[str, int]:
        """The outcome in force and its end in ms after the start (-1: none)."""
        until = int(self.row["until"])
        return OUTCOMES[int(self.row["enforcement"])], until * 1000 - START if until else -1

    def value(self, feature: str) -> float:
        slot = int(self.engine.fanout.accounts.find(pa.array(["a"]))[0])
        return float(self.engine.core.values_of(slot)[NAMES.index(feature)])


def banned() -> Account:
    """An account that the rule on many sends has banned a minute after the start."""
    of = Account()
    assert [d.outcome for d in of.sends(3, 0)] == ["ban"]
    return of


def outcomes(made: list[Decision]) -> list[str]:
    return [decision.outcome for decision in made]


def test_outcome_with_hold_is_decided_and_ends() -> None:
    of = Account()
    of.sends(1, 0)
    (made,) = of.judged(HOUR, "restrict", 3 * 86_400)
    assert (made.outcome, made.action, made.stage, made.basis) == (
        "restrict", "restrict", "review", "person",
    )  # fmt: skip
    assert (made.rules, made.reasons, made.score) == ((), (), None)
    assert made.until == START + HOUR + 3 * DAY
    assert of.state == ("restrict", HOUR + 3 * DAY)
    assert of.row["strikes"] == 0
    of.does("message.read", HOUR + 3 * DAY - SECOND, peer="b")
    assert of.state[0] == "restrict"
    of.does("message.read", HOUR + 3 * DAY, peer="b")
    assert of.state == ("allow", -1)


@pytest.mark.parametrize("outcome", OUTCOMES[1:])
def test_outcome_without_hold_has_no_end(outcome: str) -> None:
    of = Account()
    (made,) = of.judged(0, outcome)
    assert made.until is None
    assert made.new_chats_1d == (5 if outcome == "limit" else None)
    of.does("message.read", 400 * DAY, peer="b")
    assert of.state == (outcome, -1)


def test_harsher_outcome_gives_no_grace() -> None:
    of = Account()
    of.sends(2, 0)
    of.judged(HOUR, "observe", 60)
    of.judged(2 * HOUR, "limit", 60)
    assert outcomes(of.sends(1, 3 * HOUR)) == ["ban"]


def test_rules_that_hold_rest_under_a_harsher_outcome() -> None:
    of = Account()
    of.sends(2, 0)
    of.judged(MINUTE, "observe", 3_600)
    assert of.does("session.started", 2 * MINUTE, device="d") == []
    assert outcomes(of.does("session.started", 2 * HOUR, device="d")) == ["restrict"]


def test_milder_outcome_keeps_its_end_and_then_grace() -> None:
    of = banned()
    (made,) = of.judged(HOUR, "limit", 86_400)
    assert (made.outcome, made.until, made.new_chats_1d) == ("limit", START + HOUR + DAY, 5)
    assert of.sends(3, 2 * HOUR) == []
    assert of.state == ("limit", HOUR + DAY)
    assert of.sends(1, 2 * DAY) == []
    assert of.state == ("allow", HOUR + DAY + GRACE)
    assert of.sends(3, HOUR + DAY + GRACE - 2 * MINUTE) == []
    assert outcomes(of.sends(1, HOUR + DAY + GRACE)) == ["ban"]


def test_rules_that_hold_unfired_rest_too() -> None:
    of = banned()
    of.judged(HOUR, "limit", 86_400)
    assert of.does("session.started", 2 * HOUR, device="d") == []
    fresh = banned()
    fresh.judged(HOUR, label=1)
    assert fresh.does("session.started", 2 * HOUR, device="d") == []


def test_rules_on_new_evidence_fire_under_a_milder_outcome() -> None:
    of = banned()
    of.judged(HOUR, "limit", 86_400)
    made = [d for n in range(2) for d in of.does("group.created", 2 * HOUR + n, group=f"g{n}")]
    assert outcomes(made) == ["suspend"]
    # After the suspension, the second strike, the rules of the ban rest as they were to.
    assert of.sends(3, 3 * DAY) == []
    assert of.state == ("allow", 2 * HOUR + 2 * DAY + GRACE)


def test_impossible_acts_are_banned_again() -> None:
    of = Account()
    burst = [d for n in range(8) for d in of.does("message.sent", n * 100, peer=f"p{n}")]
    assert burst[-1].outcome == "ban"
    of.judged(HOUR, "limit", 86_400)
    assert of.sends(1, 2 * HOUR) == []
    again = [d for n in range(8) for d in of.does("message.sent", 3 * HOUR + n, peer=f"q{n}")]
    assert [d.rules for d in again if d.outcome == "ban"] == [("inhuman",)]


def test_allow_lifts_and_gives_grace() -> None:
    of = banned()
    (made,) = of.judged(HOUR, "allow")
    assert (made.outcome, made.until, made.basis, made.stage) == ("allow", None, "person", "review")
    assert of.state == ("allow", HOUR + GRACE)
    assert of.sends(3, 2 * HOUR) == []
    assert (of.value("label_benign"), of.value("sends_7d")) == (0, 6)


def test_allow_where_nothing_is_in_force_changes_nothing() -> None:
    of = Account()
    of.sends(2, 0)
    (made,) = of.judged(HOUR, "allow")
    assert made.outcome == "allow"
    assert of.state == ("allow", -1)
    assert outcomes(of.sends(1, 2 * HOUR)) == ["ban"]


def test_restored_outcome_ends_as_before_without_grace() -> None:
    of = Account()
    of.sends(2, 0)
    (first,) = of.does("session.started", MINUTE, device="d")
    assert (first.outcome, of.state) == ("restrict", ("restrict", MINUTE + DAY))
    of.judged(HOUR, "allow")
    of.judged(2 * HOUR, "restrict", (DAY + MINUTE - 2 * HOUR) // 1000)
    assert of.state == ("restrict", MINUTE + DAY)
    assert of.row["strikes"] == 1
    assert outcomes(of.does("session.started", 2 * DAY, device="d")) == ["restrict"]


def test_severer_outcome_below_the_one_eased_keeps_grace() -> None:
    of = banned()
    of.judged(HOUR, "limit", 86_400)
    of.judged(2 * HOUR, "restrict", 3_600)
    assert of.sends(1, 4 * HOUR) == []
    assert of.state == ("allow", 3 * HOUR + GRACE)
    of.judged(5 * HOUR, "ban", 60)
    assert outcomes(of.sends(1, 6 * HOUR)) == ["ban"]


def test_undetermined_alone_withdraws_labels_only() -> None:
    of = Account()
    assert outcomes(of.judged(0, label=0)) == ["ban"]
    assert (of.value("label_abusive"), of.row["strikes"]) == (1, 1)
    assert of.judged(HOUR) == []
    assert of.state == ("ban", -1)
    assert (of.value("label_abusive"), of.value("label_benign")) == (0, 0)


def test_label_abusive_bans_again_after_its_undo() -> None:
    of = Account()
    of.judged(0, label=0)
    of.judged(HOUR, "allow")
    assert of.state == ("allow", HOUR + GRACE)
    assert outcomes(of.judged(2 * HOUR, label=0)) == ["ban"]


def test_label_abusive_bans_within_the_grace_of_benign() -> None:
    of = banned()
    assert outcomes(of.judged(HOUR, label=1)) == ["allow"]
    assert outcomes(of.judged(2 * HOUR, label=0)) == ["ban"]


def test_undo_of_benign_restores_the_ban() -> None:
    of = banned()
    of.judged(HOUR, label=1)
    (made,) = of.judged(2 * HOUR, "ban")
    assert (made.outcome, made.until, of.state) == ("ban", None, ("ban", -1))
    assert of.value("label_benign") == 0


def test_undo_of_benign_ends_its_grace() -> None:
    of = Account()
    of.sends(2, 0)
    of.judged(MINUTE, label=1)
    assert of.state == ("allow", MINUTE + GRACE)
    of.judged(HOUR, "allow")
    assert of.state == ("allow", -1)
    assert outcomes(of.sends(1, 2 * HOUR)) == ["ban"]


def test_outcome_restored_after_benign_is_not_decided_again() -> None:
    of = Account()
    of.sends(2, 0)
    of.does("session.started", MINUTE, device="d")
    of.judged(HOUR, label=1)
    of.judged(2 * HOUR, "restrict", (DAY + MINUTE - 2 * HOUR) // 1000)
    assert of.does("session.started", 3 * HOUR, device="d") == []
    assert (of.state, of.row["strikes"]) == (("restrict", MINUTE + DAY), 1)
    assert outcomes(of.does("group.created", 4 * HOUR, group="g")) == []
    assert outcomes(of.does("group.created", 4 * HOUR, group="h")) == ["suspend"]


def test_narrower_limit_does_not_cut_a_persons_limit_short() -> None:
    of = Account()
    of.does("session.started", 0, device="d1")
    of.judged(MINUTE, "limit", 86_400)
    (made,) = of.does("session.started", HOUR, device="d2")
    assert (made.outcome, made.new_chats_1d, made.until) == ("limit", 0, START + MINUTE + DAY)


def test_challenge_passed_after_easing_gives_the_grace_of_a_label() -> None:
    of = banned()
    of.judged(HOUR, "challenge")
    assert outcomes(of.does("challenge.passed", 2 * HOUR)) == ["allow"]
    assert of.state == ("allow", 2 * HOUR + GRACE)


def test_milder_outcome_refuses_by_itself_at_once() -> None:
    of = Account(enforce=True)
    of.sends(3, 0)
    of.judged(HOUR, "restrict", 86_400)
    refused = int(of.engine.core.values_of(1)[NAMES.index("refused")])
    of.does("message.sent", 2 * HOUR, peer="p0-0")
    assert of.engine.core.values_of(1)[NAMES.index("refused")] == refused
    of.does("message.sent", 2 * HOUR, peer="new")
    assert of.engine.core.values_of(1)[NAMES.index("refused")] == refused + 1


def test_first_restriction_by_a_person_is_the_first_action() -> None:
    of = Account()
    of.judged(HOUR, "restrict", 60)
    table = accounts_table(of.engine).to_pylist()
    (found,) = [row for row in table if row["account"] == "a"]
    assert (found["first_action_ms"], found["first_action_stage"]) == (START + HOUR, "review")
    assert found["worst"] == "restrict"


def test_switch_to_enforcement_ends_what_a_person_eased() -> None:
    of = banned()
    of.judged(HOUR, "limit", 86_400)
    switch_mode(of.engine, enforce=True)
    assert of.state == ("allow", -1)
    assert outcomes(of.sends(1, 2 * HOUR)) == ["ban"]


def state(of: Engine) -> dict[str, bytes]:
    """Everything that is kept, but for how much room there is for more."""
    arrays = of.dump()
    arrays["core.entities"] = arrays["core.entities"][: len(of.fanout.entities)]
    # Facts of the open hour come in log order for each account, not for all.
    arrays["linker.facts"] = np.sort(arrays["linker.facts"], kind="stable", order="key")
    # A restart builds the tables of pairs and ids anew, with their entries in other places.
    for name in [n for n in arrays if n.startswith(("core.pairs", "fanout.seen."))]:
        arrays[name] = np.sort(arrays[name])
    return {name: np.ascontiguousarray(array).tobytes() for name, array in arrays.items()}


def _random_stream(seed: int) -> list[Row]:
    """Random events with a person's act after every few, on every account."""
    rng = random.Random(seed)
    events = rows(some_steps(rng, 160))
    found: list[Row] = []
    for number, row in enumerate(events):
        found.append(row)
        if rng.random() < 0.12:
            outcome = rng.choice((None, *range(len(OUTCOMES))))
            hold_s = rng.choice((None, 30, 4_000, 90_000, 20 * 86_400)) if outcome else None
            found.append({"id": f"person{number}", "ts": row["ts"], "source": 0,
                          "type": TYPES.index("label.assigned"), "label": UNDETERMINED,
                          "account": rng.choice("abcdefgh"), "outcome": outcome,
                          "hold_s": hold_s})  # fmt: skip
    return found


@pytest.mark.parametrize("enforce", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_decisions_depend_on_the_log_alone(seed: int, enforce: bool, tmp_path: Path) -> None:
    events = _random_stream(seed)
    given: dict[str, Any] = {"accounts": 64, "enforce": enforce, "secret": bytes(16)}
    shipped = rules.load_policy()
    whole = Engine(shipped, **given)
    expected = whole.take(log(events)) + whole.finish()
    assert {d.outcome for d in expected if d.basis == "person"} == set(OUTCOMES)
    for batch, workers in ((1, 1), (13, 2)):
        other, made = Engine(shipped, workers=workers, **given), list[Decision]()
        for at in range(0, len(events), batch):
            if at == 13 * (len(events) // 26):
                snapshot.save(other, tmp_path / f"{batch}")
                other = Engine(shipped, workers=workers, **given)
                snapshot.restore(other, tmp_path / f"{batch}")
            if at % 5 == 0:
                other.trial(log([events[at] | {"id": "asked"}]))
            made += other.take(log(events[at : at + batch]))
        made += other.finish()
        assert made == expected
        assert state(other) == state(whole)


def _behind() -> Account:
    """An account of a busy log, which is ten hours behind the clock of who acts."""
    one = Account()
    busy = [{"id": f"b{n}", "ts": START + n * SECOND, "account": "z", "peer": "y",
             "type": TYPES.index("message.sent")} for n in range(400)]  # fmt: skip
    one.engine.take(log(busy))
    return one


def _says(one: Account, at: int, **fields: Any) -> list[Decision]:
    row = {"id": f"said-{at}-{fields}", "ts": START + at, "account": "a"} | fields
    return one.engine.take(log([row | {"type": TYPES.index("label.assigned")}]))


def test_hold_begins_when_a_person_says_so_in_a_log_behind() -> None:
    one, said = _behind(), 10 * HOUR
    [made] = _says(one, said, label=UNDETERMINED, outcome=OUTCOMES.index("limit"), hold_s=86_400)
    assert made.ts == START + said
    assert made.until == START + said + DAY
    newest = int(one.engine.fanout.clock[0]["newest"])
    assert newest == START + 399 * SECOND
    row = one.engine.core.row_of(int(one.engine.fanout.accounts.find(pa.array(["a"]))[0]))
    # Its own clock is the log's: what it does next is neither late nor in windows to come.
    assert int(row["clock"]) <= newest // 60_000 * 60 + 59
    assert int(row["enforcement"]) == OUTCOMES.index("limit")


@pytest.mark.parametrize(
    "fields", [{"label": 1}, {"label": UNDETERMINED, "outcome": OUTCOMES.index("allow")}]
)
def test_grace_begins_when_a_person_says_so(fields: dict[str, int]) -> None:
    one, said = _behind(), 10 * HOUR
    limit = {"label": UNDETERMINED, "outcome": OUTCOMES.index("limit"), "hold_s": 86_400}
    _says(one, said, **limit)
    _says(one, said + HOUR, **fields)
    row = one.engine.core.row_of(int(one.engine.fanout.accounts.find(pa.array(["a"]))[0]))
    assert int(row["enforcement"]) == 0
    assert int(row["until"]) * 1000 == START + said + HOUR + GRACE
