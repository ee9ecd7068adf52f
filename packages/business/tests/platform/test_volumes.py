"""Two thousand messages delivered within thirty days raise the first limit to the second."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.platform_scene import DAY, HOUR, MINUTE, NOON
from wavebreak_business.platform.events import AnyPlatformEvent
from wavebreak_business.platform.platform import Change, Platform
from wavebreak_business.settings import Settings, load_settings


def event(kind: str, ts: int, **fields: Any) -> Any:
    return msgspec.convert({"type": kind, "ts": ts, **fields}, AnyPlatformEvent)


def unrated() -> Settings:
    """The shipped settings, where nobody has a rating: quality raises no limit."""
    shipped, change = load_settings(), msgspec.structs.replace
    quality = change(shipped.limits.quality, least=1_000_000)
    limits = change(shipped.limits, quality=quality)
    return Settings(limits, shipped.codes, shipped.codes_as_of)


def shop() -> Platform:
    number = {"number": "n1", "display_name": "Shop"}
    made = Platform(unrated())
    told = made.apply(
        [
            event("portfolio.updated", NOON - HOUR, business="shop", paced=False, numbers=[number]),
            event("template.updated", NOON - HOUR, business="shop", template="code",
                  category="authentication", language="he", status="approved"),
        ]
    )  # fmt: skip
    assert told.refused == []
    assert int(made.state.ports.records[0]["limit"]) == 250
    return made


def day_of(day: int, every_days: int = 1) -> list[Any]:
    """250 sends to people of that day, each day a moment later: a place is free after a day."""
    at = NOON + day * every_days * DAY + day * MINUTE
    # The log's clock follows a leap once several events agree on it.
    others = [event("message.sent", at - 60 + n, account="ann", peer="bea") for n in range(20)]
    return others + [
        event("message.sent", at + n * 20, account="n1", peer=f"d{day}-{n}", template="code",
              id=f"{day}-{n}")
        for n in range(250)
    ]  # fmt: skip


def later(days: int) -> Any:
    return event("message.sent", NOON + days * DAY, account="ann", peer="n1")


def test_two_thousand_delivered_raise_the_limit_from_the_next_minute_on() -> None:
    made = shop()
    for day in range(8):
        told = made.apply(day_of(day))
        assert {answer.outcome for answer in told.answers} == {"accepted"}
        assert told.changes == []
    (change,) = made.apply([later(8)]).changes
    assert (change.portfolio, change.what, change.value) == ("shop", "limit_raised", 2000)
    assert int(made.state.ports.records[0]["limit"]) == 2000


def test_one_that_failed_is_not_delivered() -> None:
    made = shop()
    made.apply(day_of(0))
    made.apply([event("message.undeliverable", NOON + HOUR, account="n1", peer="d0-7")])
    for day in range(1, 8):
        made.apply(day_of(day))
    assert made.apply([later(8)]).changes == []


def test_what_was_delivered_before_thirty_days_is_forgotten() -> None:
    made = shop()
    for day in range(8):
        made.apply(day_of(day, every_days=5))
    assert made.apply([later(36)]).changes == []


@pytest.mark.parametrize("cut", [7, 31, 250])
def test_limit_is_raised_at_one_place_however_the_log_is_cut(cut: int) -> None:
    log = [each for day in range(8) for each in day_of(day)] + [later(8)]
    whole = shop().apply(log).changes
    made, parted = shop(), list[Change]()
    for begin in range(0, len(log), cut * 8):
        parted += made.apply(log[begin : begin + cut * 8]).changes
        restored = Platform(unrated())
        restored.load(made.dump())
        made = restored
    assert parted == whole
    assert len(whole) == 1
