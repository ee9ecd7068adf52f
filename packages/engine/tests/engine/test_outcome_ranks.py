"""A further outcome, whose code is the greatest and whose rank is not: order is by rank."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from wavebreak import outcomes, run_diff
from wavebreak.engine import decision, enforcement
from wavebreak.engine.decision import (
    UNCHANGED,
    ScoreNumbers,
    Terms,
    decide,
    pack_policy,
    score_outcome,
)
from wavebreak.engine.enforcement import SENT, refuses
from wavebreak.features import kernel, layout
from wavebreak.features.account_updates import eased_outcome, note_eased_outcome
from wavebreak.features.layout import NO_RULE, RANK, REFUSES
from wavebreak.outcomes import (
    ALLOW,
    BAN,
    CHALLENGE,
    LIMIT,
    OBSERVE,
    OUTCOMES,
    RANKS,
    RESTRICT,
    TABLE,
    End,
    Outcome,
    OutcomeRow,
    Refusal,
)
from wavebreak_server.pipeline.decide import DecideResponse, strictest
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.versions import replay
from wavebreak_server.transparency import history

QUIET = len(TABLE)
ROW = OutcomeRow(
    code=QUIET,
    name=cast(Outcome, "quiet"),
    rank=12,
    refuses=Refusal.NOTHING,
    end=End.BY_HOLD,
    settable=True,
    confirms_abuse=False,
    stated=False,
    notified=False,
    perceptible=False,
    tone="observe",
    label="Quiet",
    state="delivered quietly",
    refusal_words="nothing is refused; new chats arrive without a sound",
    end_words="ends by itself",
)


@pytest.fixture(autouse=True)
def _with_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (*TABLE, ROW)
    ranks = tuple(row.rank for row in table)
    names = tuple(row.name for row in table)
    for module in (decision, layout):
        monkeypatch.setattr(module, "RANK", np.append(RANK, ROW.rank))
    monkeypatch.setattr(enforcement, "REFUSES", np.append(REFUSES, int(ROW.refuses)))
    for module in (outcomes, actions, replay):
        monkeypatch.setattr(module, "RANKS", ranks)
    for module in (outcomes, replay, history):
        monkeypatch.setattr(module, "OUTCOMES", names)
    monkeypatch.setattr(outcomes, "_ROWS", {row.name: row for row in table})
    by_rank = tuple(row.name for row in sorted(table, key=lambda row: row.rank))
    monkeypatch.setattr(outcomes, "BY_RANK", by_rank)


def _decided(*asked: int, current: int = ALLOW, strikes: int = 0) -> tuple[int, int]:
    """The outcome decided, and for how long, where a rule each asks for an outcome for a minute."""
    policy = pack_policy([Terms(o, 60) for o in asked], suspend_after=2, double_at_most=4)
    mask = (1 << len(asked)) - 1
    until = 0 if current == ALLOW else 1_030
    answer = int(decide(policy, mask, 0, NO_RULE, current, until, strikes, 1_000, 0))
    if answer == UNCHANGED:
        return UNCHANGED, 0
    return answer & 255, ((answer >> 16) & 0xFFFFFFFF) - 1_000


def test_the_table_takes_an_appended_row_with_a_rank_between_two() -> None:
    assert outcomes.table_faults((*TABLE, ROW)) == []
    assert outcomes.table_faults((*TABLE[:2], ROW, *TABLE[2:])) != []


@pytest.mark.parametrize("milder", [OBSERVE, QUIET])
@pytest.mark.parametrize("harder", [CHALLENGE, LIMIT, RESTRICT, BAN])
def test_the_more_severe_of_two_rules_decides(milder: int, harder: int) -> None:
    assert _decided(milder, harder)[0] == harder
    assert _decided(harder, milder)[0] == harder
    assert _decided(OBSERVE, QUIET)[0] == QUIET


def test_a_decision_replaces_a_milder_outcome_and_never_a_severer_one() -> None:
    assert _decided(QUIET, current=LIMIT)[0] == UNCHANGED
    assert _decided(QUIET, current=OBSERVE)[0] == QUIET
    assert _decided(LIMIT, current=QUIET)[0] == LIMIT
    assert _decided(OBSERVE, current=QUIET)[0] == UNCHANGED


def test_its_hold_does_not_double_as_that_of_a_restriction() -> None:
    assert _decided(QUIET, strikes=3) == (QUIET, 60)
    assert _decided(RESTRICT, strikes=3)[1] == 60 * 8


def test_a_takeover_does_not_turn_it_into_a_challenge() -> None:
    terms = [Terms(CHALLENGE, 60, recovers=True), Terms(QUIET, 60)]
    policy = pack_policy(terms, suspend_after=3, double_at_most=4)
    assert int(decide(policy, 0b10, 0, 0, ALLOW, 0, 0, 1_000, 0)) & 255 == QUIET
    assert int(decide(policy, 0b11, 0, 0, ALLOW, 0, 0, 1_000, 0)) & 255 == CHALLENGE


def test_a_score_asks_for_the_mildest_that_bounds_it() -> None:
    score = ScoreNumbers({LIMIT: 100, OBSERVE: 10}, {QUIET: 60}, silent=QUIET)
    policy = pack_policy([], suspend_after=3, double_at_most=4, score=score)
    asked = [int(score_outcome(policy, margin, 0, 1)) for margin in (9, 10, 100)]
    assert asked == [ALLOW, OBSERVE, QUIET]
    answer = int(decide(policy, 0, QUIET, NO_RULE, ALLOW, 0, 0, 1_000, 0))
    assert answer & 255 == QUIET
    assert outcomes.mildest(QUIET, LIMIT) == QUIET


def test_it_refuses_what_its_row_says() -> None:
    assert refuses(QUIET, SENT, 1, 0, 9, 0) == 0
    assert refuses(CHALLENGE, SENT, 1, 0, 0, 0) == 1


def _rows(**fields: int) -> tuple[Any, Any]:
    row = SimpleNamespace(enforcement=0, worst=0, until=0, quota=0, flags=0, clock=1_000)
    rare = SimpleNamespace(spare=0, met=0, answered=0)
    vars(row).update(fields)
    return row, rare


def test_the_worst_outcome_of_an_account_is_that_of_the_greatest_rank() -> None:
    row, rare = _rows(worst=LIMIT, enforcement=OBSERVE)
    kernel._note_outcome.py_func(row, rare, QUIET, 0, 0)  # type: ignore[attr-defined]
    assert row.worst == LIMIT
    assert rare.answered == 0, "it is no answer that a sender meets"
    row, rare = _rows(worst=OBSERVE)
    kernel._note_outcome.py_func(row, rare, QUIET, 0, 0)  # type: ignore[attr-defined]
    assert row.worst == QUIET


@pytest.mark.parametrize(
    ("before", "chosen", "eased"),
    [(LIMIT, QUIET, LIMIT), (QUIET, LIMIT, ALLOW), (QUIET, OBSERVE, QUIET)],
)
def test_a_person_eases_an_outcome_by_choosing_one_of_less_rank(
    before: int, chosen: int, eased: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, rare = _rows(enforcement=before, worst=before)
    for name in ("_rest_rules", "_publish_enforcement", "_note_outcome"):
        monkeypatch.setattr(kernel, name, lambda *_: None)
    of_marks: tuple[Any, ...] = (eased_outcome, note_eased_outcome)
    for compiled in of_marks:
        monkeypatch.setattr(kernel, compiled.__name__, compiled.py_func)
    monkeypatch.setattr(kernel, "rare_row", lambda *_: rare)
    worker = SimpleNamespace(new_chats_1d=5, benign_grace_s=60)
    event = SimpleNamespace(outcome=chosen, ts=1_000_000, size=60)
    kernel._set_outcome.py_func(worker, None, row, event, 0, 0)  # type: ignore[attr-defined]
    assert row.enforcement == chosen
    assert eased_outcome.py_func(rare) == eased  # type: ignore[attr-defined]


def test_lists_of_outcomes_follow_the_ranks() -> None:
    assert outcomes.outcomes_below("challenge")[:3] == ("allow", "observe", "quiet")
    assert ROW.name not in outcomes.outcomes_from("challenge")
    assert outcomes.outcomes_from("quiet")[0] == ROW.name


def test_services_and_reports_compare_by_rank() -> None:
    answers = [DecideResponse("ann", name, True) for name in ("quiet", "limit", "observe")]
    assert strictest(answers, array=False).outcome == "limit"
    assert actions.appeal_result(BAN, QUIET) == "partially_reversed"
    assert actions.appeal_result(QUIET, LIMIT) == "unchanged"
    assert replay.change_kind(LIMIT, QUIET) == "milder"
    assert replay.change_kind(QUIET, LIMIT) == "harsher"
    assert replay.change_kind(QUIET, RESTRICT) == "stopped"
    results = [run_diff.AccountResult(name, None, 0) for name in ("limit", "quiet")]
    assert run_diff._kind(*results) == "milder"
    assert history.severity_of("quiet") < history.severity_of("challenge")


def test_ranks_and_codes_differ_only_where_a_row_was_appended() -> None:
    assert sorted(RANKS[:7]) == list(RANKS[:7])
    assert len(OUTCOMES) == len(TABLE)
