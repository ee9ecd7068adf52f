"""Events of a team that shares a list of strangers, and of two friends beside it."""

from __future__ import annotations

from typing import Any

from support.factories import DAY, HOUR, MINUTE, NOON

TEAM = ("s1", "s2", "s3")


def team_events(team: tuple[str, ...] = TEAM, days: int = 4) -> list[dict[str, Any]]:
    """Return events by time: each of the team writes to two of three of a list, unanswered."""
    rows: list[dict[str, Any]] = []

    def add(ts: int, account: str, peer: str) -> None:
        rows.append({"id": f"e{len(rows)}", "ts": ts, "type": "message.sent",
                     "account": account, "peer": peer})  # fmt: skip

    for day in range(days):
        for k in range(12):
            at = NOON + day * DAY + k * 10 * MINUTE
            for number, sender in enumerate(team):
                if (k + number) % 3:
                    add(at + number * MINUTE, sender, f"v{day}-{k}")
        for friend, other in (("f1", "f2"), ("f2", "f1")):
            add(NOON + day * DAY + 8 * HOUR, friend, other)
    return sorted(rows, key=lambda row: (row["ts"], row["id"]))
