"""Mass mentions in groups newly joined: what counts, whom the shipped rule meets, what waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.parity_streams import DAY, HOUR, MINUTE, SECOND, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.state_check import check_state
from wavebreak.features.layout import BARRED
from wavebreak.schema.events import TYPES

MEMBERS = 68
RULE = "mass_mentions"
PEOPLE = [f"p{n}" for n in range(MEMBERS)]


class Story:
    """A log of a platform, in which an old account writes at first."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.at(START, "message.sent", "old", peer="older")

    def at(self, ts: int, kind: str, who: str, **fields: Any) -> None:
        named = {"id": f"e{len(self.rows)}", "ts": ts, "type": TYPES.index(kind), "account": who}
        self.rows.append(named | fields)

    def writes(
        self, ts: int, who: str, group: str, mentions: int = 0, joined_s: int | None = None
    ) -> None:
        """Write to a group; who has made it, or speaks for it, has no time of joining."""
        told = {} if joined_s is None else {"joined_s": joined_s}
        self.at(ts, "message.sent", who, group=group, recipients=MEMBERS, mentions=mentions,
                size=90 + len(self.rows) % 50, **told)  # fmt: skip

    def run(self, *, enforce: bool = True, workers: int = 1) -> Outcome:
        self.rows.sort(key=lambda row: row["ts"])
        return Outcome(self.rows, enforce=enforce, workers=workers)


class Outcome:
    """What became of a log: which events were refused, and what was decided."""

    def __init__(self, rows: list[Row], *, enforce: bool = True, workers: int = 1) -> None:
        engine = Engine(rules.load_policy(), accounts=1024, enforce=enforce, workers=workers)
        self.refused: list[Row] = []
        self.decisions: list[Any] = []
        at = 0
        for segment in engine.fanout.segments(log(rows)):
            self.decisions += engine.advance(segment)
            for result in segment.results.tolist():
                if result & BARRED:
                    self.refused.append(rows[at])
                at += 1

    def reached(self, rows: list[Row], who: str) -> int:
        """How many messages of an account to groups went through."""
        sent = [row for row in rows if row["account"] == who and "recipients" in row]
        return len(sent) - len([row for row in self.refused if row["account"] == who])

    def limited(self) -> set[str]:
        return {each.account for each in self.decisions if RULE in each.rules}


def spam(
    messages: int = 36, *, rooms: int = 1, reports: int = 6, gap_ms: int = 20 * SECOND,
    age_ms: int = 10 * MINUTE, in_room_s: int = 60,
) -> Story:  # fmt: skip
    """A fresh account joins public rooms of 68 and mentions everyone; some report it."""
    story, begin = Story(), START + DAY
    story.at(begin - age_ms, "account.registered", "spammer")
    for n in range(rooms):
        story.at(begin - 1000 * in_room_s + n, "group.joined", "spammer", group=f"r{n}")
    for n in range(messages):
        ts = begin + n * gap_ms
        story.writes(ts, "spammer", f"r{n % rooms}", MEMBERS, in_room_s + n * gap_ms // 1000)
        if n < reports:
            story.at(ts + SECOND, "user.reported", PEOPLE[n], peer="spammer", reason=0)
    return story


@pytest.mark.parametrize("gap_ms", [SECOND, 20 * SECOND, 5 * MINUTE])
@pytest.mark.parametrize("rooms", [1, 12])
def test_36_mass_mentions_to_68_people_stop_after_few(gap_ms: int, rooms: int) -> None:
    story = spam(gap_ms=gap_ms, rooms=rooms)
    outcome = story.run()
    assert outcome.limited() == {"spammer"}
    assert outcome.reached(story.rows, "spammer") <= 3
    without = story.run(enforce=False)
    assert without.reached(story.rows, "spammer") == 36


def test_without_reports_the_third_message_within_the_hour_is_the_last() -> None:
    story = spam(reports=0)
    assert story.run().reached(story.rows, "spammer") == 3


def test_slow_mentions_stop_after_two_reports() -> None:
    story = spam(gap_ms=40 * MINUTE, reports=2)
    outcome = story.run()
    sent = [row["ts"] for row in story.rows if "recipients" in row]
    last = max(row["ts"] for row in story.rows if row["type"] == TYPES.index("user.reported"))
    went = [ts for ts in sent if ts > last and ts not in {row["ts"] for row in outcome.refused}]
    # A limit of a day; whoever stays in the room is new in it no longer.
    assert all(ts >= last + DAY - HOUR for ts in went)


def test_under_the_limit_old_chats_and_groups_and_plain_messages_go_on() -> None:
    story = spam(messages=5)
    begin = START + DAY + HOUR
    story.at(START + DAY - 5 * MINUTE, "message.sent", "friend", peer="spammer")
    story.at(begin, "message.sent", "spammer", peer="friend", size=9)
    story.writes(begin + 1, "spammer", "r0", 1, 3_700)
    story.writes(begin + 2, "spammer", "club", MEMBERS, 2 * 86_400)
    story.writes(begin + 3, "spammer", "own", MEMBERS)
    story.writes(begin + 4, "spammer", "r0", MEMBERS, 3_700)
    for n in range(20):
        story.at(begin + MINUTE + n * SECOND, "message.sent", "spammer", peer=f"new{n}")
    outcome = story.run()
    refused = [row["ts"] for row in outcome.refused if row["ts"] >= begin]
    # The sixteenth stranger of the hour waits by another rule.
    assert refused[0] == begin + 4
    assert len(refused) <= 6


def test_a_restriction_refuses_mass_mentions_in_new_groups_too() -> None:
    story = Story()
    story.at(START, "account.registered", "ann")
    story.at(START + DAY, "label.assigned", "ann", label=2, source=0, outcome=4, hold_s=86_400)
    story.writes(START + DAY + HOUR, "ann", "r0", MEMBERS, 60)
    story.writes(START + DAY + HOUR + 1, "ann", "r0", 2, 60)
    story.writes(START + DAY + HOUR + 2, "ann", "club", MEMBERS, 86_400)
    assert [row["ts"] for row in story.run().refused] == [START + DAY + HOUR]


def onboarding(story: Story, at: int) -> str:
    """A newcomer who joins a community's ten rooms and greets in each, naming who invited them."""
    for n in range(10):
        story.at(at + n * 20 * SECOND, "group.joined", "newcomer", group=f"c{n}")
        story.writes(at + n * 20 * SECOND + 5 * SECOND, "newcomer", f"c{n}", 1, 5)
    for n in range(40):
        story.writes(at + 10 * MINUTE + n * MINUTE, "newcomer", f"c{n % 10}", n % 3, 600)
    return "newcomer"


def admin_of_own_rooms(story: Story, at: int) -> str:
    """Somebody new who makes three rooms, and tells everybody in each what it is for."""
    for n in range(3):
        story.at(at + n * MINUTE, "group.created", "admin", group=f"a{n}")
        for m in range(6):
            story.writes(at + (5 + n + m) * MINUTE, "admin", f"a{n}", MEMBERS)
    return "admin"


def teacher(story: Story, at: int) -> str:
    """A new teacher who is let in to the class's room and the parents', and greets each once."""
    for n, room in enumerate(("class", "parents")):
        story.at(at + n * MINUTE, "group.joined", "teacher", group=room)
        story.writes(at + n * 5 * MINUTE + MINUTE, "teacher", room, 30, 60)
    story.writes(at + DAY + HOUR, "teacher", "class", 30, 90_000)
    return "teacher"


def fest_planner(story: Story, at: int) -> str:
    """A planner of two weeks on the platform who calls all helpers of five new rooms together."""
    story.at(at - 14 * DAY, "account.registered", "planner")
    for n in range(5):
        story.at(at + n * MINUTE, "group.joined", "planner", group=f"f{n}")
        story.writes(at + n * MINUTE + SECOND, "planner", f"f{n}", MEMBERS, 1)
    return "planner"


def room_warden(story: Story, at: int) -> str:
    """A new moderator, whom the room let speak for it, calms a quarrel; two report the warden."""
    story.at(at, "group.joined", "warden", group="market")
    for n in range(6):
        story.writes(at + n * 3 * MINUTE, "warden", "market", MEMBERS)
    for n in range(2):
        story.at(at + 20 * MINUTE + n, "user.reported", PEOPLE[n], peer="warden", reason=0)
    return "warden"


def quarreller(story: Story, at: int) -> str:
    """Somebody new in a room who mentions a few at a time, and whom six people report."""
    story.at(at, "group.joined", "loud", group="market")
    for n in range(30):
        story.writes(at + n * MINUTE, "loud", "market", 3, n * 60)
    for n in range(6):
        story.at(at + 5 * MINUTE + n, "user.reported", PEOPLE[n], peer="loud", reason=0)
    return "loud"


@pytest.mark.parametrize(
    "persona",
    [onboarding, admin_of_own_rooms, teacher, fest_planner, room_warden, quarreller],
)
def test_honest_people_in_groups_are_not_met(persona: Any) -> None:
    story, at = Story(), START + 20 * DAY
    for n in range(40):
        # A log that is silent for longer takes what follows at its own time.
        story.at(START + (n + 1) * DAY // 2, "message.sent", "old", peer="older")
    for name in ("newcomer", "admin", "teacher", "warden", "loud"):
        story.at(at - HOUR, "account.registered", name)
    who = persona(story, at)
    outcome = story.run()
    assert outcome.limited() == set()
    assert who not in {row["account"] for row in outcome.refused}


def test_who_does_not_tell_since_when_is_not_judged() -> None:
    story = spam()
    for row in story.rows:
        row.pop("joined_s", None)
    assert story.run().limited() == set()


def test_question_tells_of_what_the_log_has_and_counts_it_once() -> None:
    rows = spam(reports=0).rows
    engine = Engine(rules.load_policy(), accounts=1024)
    engine.take(log(rows[:4]))
    sent = rows[3:7]
    assert [row["type"] for row in sent] == [TYPES.index("message.sent")] * 4
    asked = [each.refused for each in engine.trials(log(sent))]
    assert asked == [False, False, True, True]
    assert [each.refused for each in engine.trials(log(sent[:2]))] == [False, False]


def test_workers_and_a_restart_change_nothing(tmp_path: Path) -> None:
    rows = spam(rooms=3).rows
    rows.sort(key=lambda row: row["ts"])
    made = [Engine(rules.load_policy(), accounts=1024, workers=n) for n in (1, 3, 1, 1)]
    whole = made[0].take(log(rows))
    assert RULE in {name for each in whole for name in each.rules}
    assert made[1].take(log(rows)) == whole
    first = made[2].take(log(rows[:9]))
    snapshot.save(made[2], tmp_path / "s")
    snapshot.restore(made[3], tmp_path / "s")
    assert first + made[3].take(log(rows[9:])) == whole
    check_state(made[3].dump(), len(rules.load_policy().rules))
