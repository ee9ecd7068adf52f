"""Acts of a person on the ladder: what they bar, for how long, and what an appeal gives back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.platform_scene import DAY, HOUR, NOON
from wavebreak_business.platform.events import AnyPlatformEvent
from wavebreak_business.platform.platform import Platform, Result
from wavebreak_business.settings import load_settings

SETTINGS = load_settings()
LADDER = {step.name: n for n, step in enumerate(SETTINGS.limits.ladder.steps, 1)}


def event(kind: str, ts: int, name: str = "shop", **fields: Any) -> Any:
    return msgspec.convert({"type": kind, "ts": ts, "business": name, **fields}, AnyPlatformEvent)


def registered(name: str, number: str, at: int = NOON - DAY) -> Any:
    numbers = [{"number": number, "display_name": "Shop"}]
    fields = {"legal_name": "Shop Ltd", "owners": ["dana"], "numbers": numbers, "paced": False}
    return event("portfolio.updated", at, name, **fields)


def approved(name: str = "shop") -> Any:
    fields = {"template": "news", "category": "utility", "language": "he", "status": "approved"}
    return event("template.updated", NOON - DAY, name, **fields)


def standing(ts: int, step: str | None, ground: str | None = "law", **more: Any) -> Any:
    return event("standing.set", ts, step=step, ground=ground, **more)


def shop() -> Platform:
    made = Platform(SETTINGS)
    made.apply([registered("shop", "n1"), approved()])
    return made


def sent(made: Platform, ts: int, number: str = "n1") -> str:
    fields = {"type": "message.sent", "ts": ts, "account": number, "peer": "ann"}
    send: Any = msgspec.convert(fields | {"template": "news"}, AnyPlatformEvent)
    (answer,) = made.apply([send]).answers
    return answer.outcome


def follow(made: Platform, begin: int, end: int) -> None:
    """Let the log's time go on by the hour."""
    read = {"type": "message.read", "account": "ann", "peer": "n1"}
    hours = [read | {"ts": ts} for ts in range(begin + HOUR, end, HOUR)]
    made.apply([msgspec.convert(each, AnyPlatformEvent) for each in hours])


def changed(result: Result) -> list[tuple[str, str, int]]:
    return [(change.portfolio, change.what, change.value) for change in result.changes]


@pytest.mark.parametrize(
    ("step", "refused"),
    [
        ("warning", "accepted"), ("restricted_1d", "restricted"), ("restricted_3d", "restricted"),
        ("blocked_5d", "blocked"), ("blocked_7d", "blocked"), ("blocked_30d", "blocked"),
    ],
)  # fmt: skip
def test_step_of_a_person_bars_to_the_millisecond(step: str, refused: str) -> None:
    made, lasts = shop(), {"w": 1, "1d": 1, "3d": 3, "5d": 5, "7d": 7, "30d": 30}
    days = lasts[step.partition("_")[2] or "w"]
    result = made.apply([standing(NOON, step)])
    assert changed(result) == [("shop", "set", LADDER[step])]
    assert sent(made, NOON + 1) == refused
    follow(made, NOON, NOON + days * DAY)
    assert sent(made, NOON + days * DAY - 1) == refused
    assert sent(made, NOON + days * DAY) == "accepted"


@pytest.mark.parametrize("step", ["locked", "disabled"])
def test_last_steps_last_until_an_appeal(step: str) -> None:
    made = shop()
    made.apply([standing(NOON, step)])
    follow(made, NOON, NOON + 40 * DAY)
    assert sent(made, NOON + 40 * DAY) == "locked"
    opened = event("portfolio.updated", NOON + 40 * DAY, appeal="opened")
    made.apply([opened, event("portfolio.updated", NOON + 40 * DAY, appeal="reversed")])
    assert sent(made, NOON + 40 * DAY + 1) == "accepted"


def test_step_of_a_person_is_sealed_as_the_rules_own() -> None:
    made = shop()
    (draft,) = made.apply([standing(NOON, "blocked_7d")]).drafts
    body: Any = draft.body
    assert (draft.kind, body.step, body.bars) == ("standing", "blocked_7d", "all")
    assert (body.begins, body.until) == (NOON, NOON + 7 * DAY)


def test_appeal_gives_the_standing_before_a_jump_back() -> None:
    made = shop()
    made.apply([standing(NOON, "restricted_1d"), standing(NOON + HOUR, "blocked_30d")])
    made.apply([event("portfolio.updated", NOON + 2 * HOUR, appeal="opened")])
    result = made.apply([event("portfolio.updated", NOON + 2 * HOUR, appeal="reversed")])
    assert changed(result) == [("shop", "appeal_reversed", LADDER["restricted_1d"])]
    assert sent(made, NOON + 2 * HOUR + 1) == "accepted"


def test_step_that_goes_down_is_appealed_without_going_up() -> None:
    made = shop()
    made.apply([standing(NOON, "blocked_30d"), standing(NOON + HOUR, "restricted_1d")])
    made.apply([event("portfolio.updated", NOON + 2 * HOUR, appeal="opened")])
    result = made.apply([event("portfolio.updated", NOON + 2 * HOUR, appeal="reversed")])
    assert changed(result) == [("shop", "appeal_reversed", LADDER["warning"])]


def test_lifted_step_bars_nothing_and_goes_on_counting() -> None:
    made = shop()
    made.apply([standing(NOON, "blocked_30d")])
    result = made.apply([standing(NOON + HOUR, None, None)])
    assert changed(result) == [("shop", "lifted", LADDER["blocked_30d"])]
    assert [draft.body.step for draft in result.drafts] == ["lifted"]  # type: ignore[attr-defined]
    assert sent(made, NOON + HOUR) == "accepted"


@pytest.mark.parametrize("step", ["restricted_1d", "blocked_5d", "locked"])
def test_step_stays_where_an_appeal_against_it_changes_nothing(step: str) -> None:
    made = shop()
    made.apply([standing(NOON, "warning"), standing(NOON + 1, step)])
    barred = sent(made, NOON + 2)
    assert barred != "accepted"
    made.apply([registered("again", "n2", NOON + 3), approved("again")])
    made.apply([event("portfolio.updated", NOON + 4, appeal="opened")])
    result = made.apply([event("portfolio.updated", NOON + 5, appeal="unchanged")])
    assert changed(result) == [("shop", "appeal_unchanged", LADDER[step])]
    assert (sent(made, NOON + 6), sent(made, NOON + 6, "n2")) == (barred, barred)
    refused = made.apply([event("portfolio.updated", NOON + 7, appeal="reversed")]).refused
    assert len(refused) == 1
    made.apply([event("portfolio.updated", NOON + 8, appeal="opened")])
    assert made.registry.portfolios["shop"].appeal == "opened"


def test_new_step_closes_an_appeal_against_the_one_before() -> None:
    made = shop()
    made.apply([standing(NOON, "warning"), event("portfolio.updated", NOON + 1, appeal="opened")])
    made.apply([standing(NOON + HOUR, "restricted_1d")])
    assert made.registry.portfolios["shop"].appeal == ""


def test_successor_inherits_and_is_freed_with_the_one_before() -> None:
    made = shop()
    made.apply([standing(NOON, "blocked_30d")])
    result = made.apply([registered("again", "n2", NOON + HOUR), approved("again")])
    assert changed(result) == [("again", "inherited", LADDER["blocked_30d"])]
    assert sent(made, NOON + 2 * HOUR, "n2") == "blocked"
    made.apply([event("portfolio.updated", NOON + 3 * HOUR, appeal="opened")])
    result = made.apply([event("portfolio.updated", NOON + 3 * HOUR, appeal="reversed")])
    assert [name for name, *_ in changed(result)] == ["shop", "again"]
    assert sent(made, NOON + 4 * HOUR, "n2") == "accepted"


@pytest.mark.parametrize(
    "wrong",
    [
        standing(NOON, "unheard"), standing(NOON, "warning", None), standing(NOON, None, None),
        standing(NOON, "warning", name="nobody"),
    ],
)  # fmt: skip
def test_act_that_means_nothing_is_refused_and_changes_nothing(wrong: Any) -> None:
    made = shop()
    result = made.apply([wrong])
    assert len(result.refused) == 1
    assert (result.changes, result.drafts) == ([], [])
    assert sent(made, NOON + 1) == "accepted"


def test_acts_on_the_ladder_survive_a_cut_anywhere() -> None:
    log = [standing(NOON, "blocked_30d"), event("portfolio.updated", NOON + 1, appeal="opened")]
    log.append(event("portfolio.updated", NOON + 2, appeal="reversed"))
    told = changed(shop().apply(log))
    for cut in range(len(log)):
        before, after = shop(), Platform(SETTINGS)
        first = changed(before.apply(log[:cut]))
        after.load(before.dump())
        assert first + changed(after.apply(log[cut:])) == told
