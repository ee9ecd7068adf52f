"""Traps in decisions: one first message to a trap is nothing, two are a limit; in any shards."""

from __future__ import annotations

import random
import re

import msgspec
import pytest

from support.parity_streams import DAY, MINUTE, START, Row, crowded, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.explain.narrative import evidence_sentence
from wavebreak.features.catalog import INDEX
from wavebreak.languages import get_language
from wavebreak.notices import build_statement, load_platform
from wavebreak.schema.events import TYPES

RULE = "recipients_gone"


def sends(*peers: str, kind: str = "message.sent", every_ms: int = MINUTE) -> list[Row]:
    """First messages of `ann`, who registered; peers that begin with `trap` are traps."""
    rows: list[Row] = [
        {"id": "r", "ts": START, "account": "ann", "type": TYPES.index("account.registered")}
    ]
    for n, peer in enumerate(peers):
        row: Row = {"id": f"s{n}", "ts": START + (n + 1) * every_ms, "account": "ann"}
        row |= {"type": TYPES.index(kind), "peer": peer}
        rows.append(row | ({"trap": True} if peer.startswith("trap") else {}))
    return rows


def decided(rows: list[Row], **options: object) -> tuple[list[str], float]:
    """Rules that met `ann`, and how many traps it has written to first."""
    engine = Engine(rules.load_policy(), accounts=256, **options)  # type: ignore[arg-type]
    met = [rule for decision in engine.take(log(rows)) for rule in decision.rules]
    return met, float(engine.core.values_of(0)[INDEX["trap_contacts_28d"]])


def test_one_trap_decides_nothing() -> None:
    assert decided(sends("trap1", "ben", "trap1", "trap1")) == ([], 1)


@pytest.mark.parametrize("kind", ["message.sent", "contact.requested", "call.started"])
def test_two_traps_limit_by_the_rule_on_lost_recipients(kind: str) -> None:
    assert decided(sends("trap1", "ben", "trap2", kind=kind)) == ([RULE], 2)


def test_decision_says_traps_in_words_and_names_none() -> None:
    engine = Engine(rules.load_policy(), accounts=256)
    (decision,) = engine.take(log(sends("trap1", "ben", "trap2")))
    assert (decision.outcome, decision.basis) == ("limit", "evidence")
    assert not any(name.encode() in msgspec.json.encode(decision) for name in ("trap1", "trap2"))
    for code, sentence, fact in (
        ("en", "It wrote first to 2 traps in four weeks", "accounts that nobody uses"),
        ("he", "שני פיתיונות", "שאיש אינו משתמש בהם"),
    ):
        language = get_language(code)
        assert sentence in evidence_sentence(msgspec.to_builtins(decision), language)
        (said,) = build_statement(
            decision, platform=load_platform(), language=language, now_ms=decision.ts
        ).facts
        assert fact in said
        assert not re.search(r"\d", said)


@pytest.mark.parametrize(("days", "count"), [(26, 2), (31, 1)])
def test_traps_count_together_for_four_weeks(days: int, count: int) -> None:
    rows = sends("trap1", "trap2")
    rows[-1]["ts"] = START + days * DAY
    # A log whose time leaps by more than a day is not believed.
    login: Row = {"account": "ben", "type": TYPES.index("session.started")}
    logins = [{"id": f"l{n}", "ts": START + n * DAY // 2} | login for n in range(1, 2 * days)]
    met, traps = decided([*rows[:-1], *logins, rows[-1]])
    assert (traps, met) == (count, [RULE] if count == 2 else [])


def test_who_answers_a_trap_that_wrote_first_is_not_counted() -> None:
    rows = sends("trap1")
    rows.insert(
        1,
        {"id": "t", "ts": START + 1, "account": "trap1", "peer": "ann"}
        | {"type": TYPES.index("message.sent")},
    )
    assert decided(rows) == ([], 0)


def test_decisions_on_traps_do_not_depend_on_batches_or_threads() -> None:
    rows = crowded(random.Random(5), sends=300)
    for row in rows:
        row["trap"] = True if row.get("peer") in ("p", "q", "r") else None
    wanted = Engine(rules.load_policy(), accounts=256, enforce=True)
    made = [*wanted.take(log(rows)), *wanted.finish()]
    assert any(RULE in decision.rules for decision in made)
    parts = Engine(rules.load_policy(), accounts=256, enforce=True)
    again = [d for n in range(0, len(rows), 7) for d in parts.take(log(rows[n : n + 7]))]
    assert [*again, *parts.finish()] == made
