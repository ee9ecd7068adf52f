"""Events of a team with one device and one list of strangers, and of two friends beside it."""

from __future__ import annotations

from typing import Any

from support.factories import DAY, HOUR, MINUTE, NOON

TEAM = ("s1", "s2", "s3")


def team_events(
    team: tuple[str, ...] = TEAM, days: int = 4, *, blocked: bool = False, device: bool = True
) -> list[dict[str, Any]]:
    """Return events by time: each of the team writes to two of three of a list, unanswered.

    `blocked`: two strangers block each of them on the first day. `device`: they share a device.
    """
    rows: list[dict[str, Any]] = []

    def add(ts: int, account: str, peer: str) -> None:
        rows.append({"id": f"e{len(rows)}", "ts": ts, "type": "message.sent",
                     "account": account, "peer": peer})  # fmt: skip

    for sender in team if device else ():
        rows.append({"id": f"d-{sender}", "ts": NOON + HOUR, "type": "session.started",
                     "account": sender, "device": "d-team"})  # fmt: skip
    for day in range(days):
        for k in range(12):
            at = NOON + day * DAY + k * 10 * MINUTE
            for number, sender in enumerate(team):
                if (k + number) % 3:
                    add(at + number * MINUTE, sender, f"v{day}-{k}")
        for friend, other in (("f1", "f2"), ("f2", "f1")):
            add(NOON + day * DAY + 8 * HOUR, friend, other)
    for number, sender in enumerate(team if blocked else ()):
        for k in [k for k in range(12) if (k + number) % 3][:2]:
            rows.append({"id": f"e{len(rows)}", "ts": NOON + 5 * HOUR + k, "type": "user.blocked",
                         "account": f"v0-{k}", "peer": sender})  # fmt: skip
    return sorted(rows, key=lambda row: (row["ts"], row["id"]))


RING, RENTED, HONEST = ("r1", "r2", "r3"), ("c1", "c2", "c3"), ("h1", "h2", "h3")


def sender_events() -> list[dict[str, Any]]:
    """Return events by time of a ring, of accounts with one companion's network, and of people.

    All write to a dozen strangers; who is answered are the people.
    """
    rows: list[dict[str, Any]] = []

    def add(ts: int, kind: str, account: str, **fields: Any) -> None:
        rows.append({"id": f"e{len(rows)}", "ts": ts, "type": kind, "account": account} | fields)

    for circle in (RING, HONEST):
        for number, (one, two) in enumerate(zip(circle, circle[1:] + circle[:1], strict=True)):
            at = NOON + number * MINUTE
            add(at, "message.sent", one, peer=two, in_contacts=True)
            add(at + 1, "message.sent", two, peer=one, in_contacts=True)
    for accounts, network in ((RENTED, "proxy"), (HONEST, "home")):
        for account in accounts:
            add(NOON + HOUR, "session.started", account, network=network, device=f"d-{account}",
                linked=network == "proxy")  # fmt: skip
    for k in range(12):
        for account in (*RING, *RENTED, *HONEST):
            at, peer = NOON + 2 * HOUR + k * 10 * MINUTE, f"{account}-{k}"
            add(at, "message.sent", account, peer=peer, in_contacts=False)
            if account in HONEST:
                add(at + MINUTE, "message.sent", peer, peer=account)
    add(NOON + 6 * HOUR, "message.sent", "h1", peer="h2")
    return sorted(rows, key=lambda row: (row["ts"], row["id"]))
