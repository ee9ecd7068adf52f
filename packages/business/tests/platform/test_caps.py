"""The cap per person over all businesses: boundaries, one epoch of overshoot, and an oracle."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import numpy as np
import pytest

from support.platform_scene import DAY, HOUR, MINUTE, NOON
from wavebreak_business.platform.events import AnyPlatformEvent, event_id
from wavebreak_business.platform.platform import Answer, Platform
from wavebreak_business.settings import Settings, load_settings

CATEGORIES = ("marketing", "utility")
STEPS = (0, 1, 500, 20_000, MINUTE, HOUR, 22 * HOUR)
"""No farther: an event more than a day ahead of a quiet log is taken at the log's own time."""


def event(kind: str, ts: int, **fields: Any) -> Any:
    return msgspec.convert({"type": kind, "ts": ts, **fields}, AnyPlatformEvent)


def capped(most: int = 2) -> Settings:
    """The shipped settings with a cap, and no other limit that these tests reach."""
    shipped, change = load_settings(), msgspec.structs.replace
    limits = shipped.limits
    quiet = change(
        limits, cap=change(limits.cap, most=most), pacing=change(limits.pacing, categories=()),
        consent=change(limits.consent, required=()),
    )  # fmt: skip
    return Settings(quiet, shipped.codes, shipped.codes_as_of)


def businesses(many: int) -> list[Any]:
    """Portfolios b0, b1, …, each with a number and a template of each category."""
    made = list[Any]()
    for n in range(many):
        number = {"number": f"n{n}", "display_name": "B"}
        made.append(event("portfolio.updated", NOON - HOUR, business=f"b{n}", limit=-1, paced=False,
                          numbers=[number]))  # fmt: skip
        made += [
            event("template.updated", NOON - HOUR, business=f"b{n}", template=category,
                  category=category, language="he", status="approved")
            for category in CATEGORIES
        ]  # fmt: skip
    return made


def platform(many: int = 5, most: int = 2, workers: int = 1) -> Platform:
    made = Platform(capped(most), workers=workers)
    assert made.apply(businesses(many)).refused == []
    return made


def send(ts: int, business: int, peer: str = "ann", template: str | None = "marketing") -> Any:
    return event("message.sent", ts, account=f"n{business}", peer=peer, template=template)


def taken(made: Platform, *events: Any) -> list[Answer]:
    return made.apply(list(events)).answers


def test_cap_is_of_all_businesses_and_opens_to_the_millisecond() -> None:
    made = platform()
    taken(made, send(NOON, 0), send(NOON + HOUR, 1))
    (third,) = taken(made, send(NOON + 2 * HOUR, 2))
    assert (third.outcome, third.code, third.retry_at) == ("person_cap", "131049", NOON + DAY)
    assert third.fix
    before, at = taken(made, send(NOON + DAY - 1, 3), send(NOON + DAY, 4))
    assert (before.outcome, at.outcome) == ("person_cap", "accepted")


def test_cap_leaves_answers_and_other_categories_alone() -> None:
    made = platform()
    taken(made, send(NOON, 0), send(NOON + HOUR, 1))
    told = taken(
        made, send(NOON + 2 * HOUR, 2, template="utility"), send(NOON + 2 * HOUR, 2, "ben"),
        event("message.sent", NOON + 3 * HOUR, account="ann", peer="n3"),
        send(NOON + 3 * HOUR + 1, 3), send(NOON + 3 * HOUR + 1, 3, template=None),
    )  # fmt: skip
    assert {each.outcome for each in told} == {"accepted"}


def test_cap_counts_what_was_sent_before_the_minute_and_nothing_later() -> None:
    made = platform()
    told = taken(made, *(send(NOON + n, n) for n in range(5)))
    assert [each.outcome for each in told] == ["accepted"] * 5
    (next_minute,) = taken(made, send(NOON + MINUTE, 0))
    assert (next_minute.outcome, next_minute.retry_at) == ("person_cap", NOON + 3 + DAY)


def test_cap_of_nought_is_none() -> None:
    made = platform(most=0)
    told = taken(made, *(send(NOON + n * MINUTE, n % 5) for n in range(20)))
    assert {each.outcome for each in told} == {"accepted"}


def test_refused_send_does_not_count() -> None:
    made = platform()
    taken(made, send(NOON, 0), send(NOON + HOUR, 1))
    taken(made, *(send(NOON + 2 * HOUR + n * MINUTE, 2) for n in range(9)))
    (later,) = taken(made, send(NOON + DAY, 2))
    assert later.outcome == "accepted"


def test_person_who_changes_id_has_what_both_ids_were_sent() -> None:
    made = platform()
    taken(made, send(NOON, 0), send(NOON + HOUR, 1, "ann2"))
    told = taken(
        made, event("account.id_changed", NOON + 2 * HOUR, account="ann2", previous="ann"),
        send(NOON + 2 * HOUR + 1, 2, "ann2"),
    )  # fmt: skip
    assert [each.outcome for each in told] == ["person_cap"]


def random_log(seed: int, count: int = 300) -> list[Any]:
    rng = np.random.default_rng(seed)
    at, made = NOON, list[Any]()
    for _ in range(count):
        at += int(rng.choice(STEPS, p=(0.2, 0.2, 0.2, 0.2, 0.1, 0.08, 0.02)))
        late = int(rng.choice([0, 0, 0, 30_000, HOUR]))
        peer = f"p{rng.integers(6)}"
        if rng.random() < 0.04:
            made.append(event("message.sent", at, account=peer, peer=f"n{rng.integers(5)}"))
        template = str(rng.choice(CATEGORIES, p=[0.8, 0.2]))
        made.append(send(at - late, int(rng.integers(5)), peer, template))
    return [msgspec.structs.replace(each, id=f"m{n}") for n, each in enumerate(made)]


def over_the_cap(events: list[Any], answers: list[Answer], most: int) -> tuple[list[str], int]:
    """What differs from the obvious: all that was accepted, by minute; and the greatest overshoot.

    An answer within a window is told by its basis; the log's minute by its newest event.
    """
    by_id = {each.id: each for each in answers}
    accepted: dict[str, list[tuple[int, int]]] = defaultdict(list)
    differ, overshoot, newest = list[str](), 0, 0
    for each in events:
        newest = max(newest, each.ts)
        answer = by_id.get(event_id(each))
        if answer is None or each.template != "marketing":
            continue
        minute = newest // MINUTE
        recent = [when for when, at in accepted[each.peer] if at > each.ts - DAY]
        before = sum(when < minute for when in recent)
        if answer.basis == "window" or answer.outcome not in ("accepted", "person_cap"):
            continue
        if (before >= most) != (answer.outcome == "person_cap"):
            differ.append(f"{each.ts}: {answer.outcome} after {before}")
        if answer.outcome == "accepted":
            accepted[each.peer].append((minute, each.ts))
            overshoot = max(overshoot, len(recent) + 1 - most)
    return differ, overshoot


@pytest.mark.parametrize("seeds", [range(0, 20), range(20, 40)])
def test_random_logs_equal_the_obvious_on_any_workers_and_cuts(seeds: range) -> None:
    found = 0
    for seed in seeds:
        events = random_log(seed)
        whole = taken(platform(), *events)
        differ, overshoot = over_the_cap(events, whole, 2)
        assert differ == [], seed
        found = max(found, overshoot)
        cut = int(np.random.default_rng(seed).integers(1, len(events)))
        parted = platform(workers=7)
        first = taken(parted, *events[:cut])
        restored = Platform(capped(), workers=7)
        restored.load(parted.dump())
        assert first + taken(restored, *events[cut:]) == whole, seed
    assert found > 0
