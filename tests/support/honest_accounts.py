"""Three hundred honest accounts in a week of a platform without numbers, and one that spams.

Everybody writes to people who answer, or whom it knows; what its registration carries is chosen.
"""

from __future__ import annotations

import random
from itertools import combinations, cycle
from typing import Any

import pyarrow as pa

from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.schema.events import LOG_SCHEMA, WIRE_SCHEMA

EDGE = Pseudonymizer(b"a key for tests only")
START = 1_772_323_200_000  # 1 March 2026, 00:00 UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
HONEST = 300
ANSWERING = 12
"""Strangers and contacts that each writes to."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "ip": ("address", "network", "asn", "network_country"),
    "device": ("device",),
    "client": ("client",),
    "attested": ("attested",),
    "attempts": ("attempts",),
    "phone": ("number", "block", "number_country"),
}
"""Optional fields of a registration, with the columns of the log that hold them."""
VERIFICATIONS: dict[str, tuple[str | None, ...]] = {
    "none given": (None,), "sms": ("sms",), "email": ("email",), "none": ("none",),
    "mixed": ("email", "email", "email", "email", "none"),
}  # fmt: skip
"""What the registrations of a stream say of verification, in turn."""

Row = dict[str, Any]
Fields = tuple[str, ...]


def subsets() -> list[tuple[Fields, str]]:
    """Return every subset of the optional fields, with the kinds of verification in turn."""
    found = [fields for size in range(len(COLUMNS) + 1) for fields in combinations(COLUMNS, size)]
    return list(zip(found, cycle(VERIFICATIONS), strict=False))


def honest_rows(seed: int = 1, chats: int = ANSWERING) -> list[Row]:
    """Registrations with every field but verification, and chats that are answered or known."""
    rng, rows = random.Random(seed), list[Row]()
    for number in range(HONEST):
        who, born = f"h{number:03d}", START + rng.randrange(7 * DAY - 12 * HOUR)
        rows.append({
            "type": "account.registered", "ts": born, "account": who,
            "ip": f"10.{number % 60}.{number % 7}.{rng.randrange(1, 250)}", "device": f"d{number}",
            "client": f"app/{number % 3}", "attested": number % 10 > 0,
            "attempts": 1 + (number % 9 == 0), "phone": f"+1212555{1000 + number}",
        })  # fmt: skip
        for chat in range(chats):
            rows += _chat(rng, who, born + rng.randrange(MINUTE, 12 * HOUR), chat)
    return rows


def _chat(rng: random.Random, who: str, at: int, number: int) -> list[Row]:
    """A first message and its answer: to one it knows from before, or to a stranger."""
    known = number % 3 > 0
    peer = f"k{rng.randrange(400)}" if known else f"s{rng.randrange(100_000)}"
    opens = {
        "type": "message.sent",
        "ts": at,
        "account": who,
        "peer": peer,
        "size": rng.randrange(60, 2_000),
        "in_contacts": known,
    }
    later = at + rng.randrange(10 * SECOND, HOUR)
    answer = opens | {"ts": later, "account": peer, "peer": who, "in_contacts": True}
    return [opens, answer]


def opening_rows(seed: int = 1) -> list[Row]:
    """A platform that opens: all register within three minutes, then invite and answer each other.

    As fast as a script: an invitation, a message, the acceptance and an answer within a second.
    """
    rng, rows = random.Random(seed), list[Row]()
    for number in range(HONEST):
        rows.append({
            "type": "account.registered", "ts": START + number * 600 + rng.randrange(600),
            "account": f"h{number:03d}", "client": f"app/{number % 5}",
            "ip": f"{rng.randrange(1, 200)}.{rng.randrange(250)}.{rng.randrange(250)}.7",
        })  # fmt: skip
    at = START + HONEST * 600
    for turn in (1, 2, 3):
        order = rng.sample(range(HONEST), HONEST)
        for place, one in enumerate(order):
            at += rng.randrange(200, 400)
            rows += _invited_chat(f"h{one:03d}", f"h{order[(place + turn) % HONEST]:03d}", at, rng)
    return rows


def _invited_chat(one: str, other: str, at: int, rng: random.Random) -> list[Row]:
    """An invitation that is accepted, and three messages."""
    sent = {"type": "message.sent", "size": rng.randrange(20, 300)}
    return [
        {"type": "contact.requested", "ts": at, "account": one, "peer": other, "via": "invite"},
        sent | {"ts": at + 60, "account": one, "peer": other},
        {"type": "contact.accepted", "ts": at + 120, "account": other, "peer": one},
        sent | {"ts": at + 180, "account": other, "peer": one},
        sent | {"ts": at + 240, "account": one, "peer": other},
    ]


def with_requests(rows: list[Row], seed: int) -> list[Row]:
    """Return the events with an invitation before each chat, accepted before it is answered."""
    rng, found, open_chats = random.Random(seed), list[Row](), set[tuple[str, str]]()
    for row in sorted(rows, key=lambda row: row["ts"]):
        pair = (row["account"], row.get("peer", ""))
        if row["type"] == "message.sent" and pair not in open_chats:
            asked, back = pair[::-1] not in open_chats, rng.randrange(500, 9 * SECOND)
            found.append({
                "type": "contact.requested" if asked else "contact.accepted",
                "ts": row["ts"] - (50 if asked else back), "account": pair[0], "peer": pair[1],
            } | ({"via": "invite"} if asked else {}))  # fmt: skip
            open_chats.add(pair)
        found.append(row)
    return found


def without_contacts(rows: list[Row]) -> list[Row]:
    """Return the events as of a platform that does not tell who is in whose contacts."""
    return [{name: value for name, value in row.items() if name != "in_contacts"} for row in rows]


def spam_rows(seed: int, gap: int, *, request: bool, message: bool) -> list[Row]:
    """One who registers on the sixth day and approaches 40 strangers, `gap` ms apart."""
    rng = random.Random(1_000 + seed)
    at = START + 5 * DAY + rng.randrange(DAY)
    rows: list[Row] = [{"type": "account.registered", "ts": at, "account": "spammer",
                        "ip": "10.99.0.7", "client": "app/1"}]  # fmt: skip
    for number in range(40):
        begin, peer = at + MINUTE + number * gap, f"victim{number}"
        if request:
            rows.append({"type": "contact.requested", "ts": begin, "account": "spammer",
                         "peer": peer, "via": "invite"})  # fmt: skip
        if message:
            rows.append({"type": "message.sent", "ts": begin + 50, "account": "spammer",
                         "peer": peer, "size": 300})  # fmt: skip
    return rows


def as_log(rows: list[Row]) -> pa.RecordBatch:
    """Return events as a batch of the log, in order of time."""
    rows = sorted(rows, key=lambda row: row["ts"])
    rows = [{"id": f"e{number}"} | row for number, row in enumerate(rows)]
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in WIRE_SCHEMA}
    return with_all_columns(EDGE.apply(pa.RecordBatch.from_pydict(columns, schema=WIRE_SCHEMA)))


def with_fields(log: pa.RecordBatch, fields: Fields, verification: str) -> pa.RecordBatch:
    """Return the log with some optional fields of its registrations, and others left out."""
    lacking = {column for name in COLUMNS if name not in fields for column in COLUMNS[name]}
    words = VERIFICATIONS[verification]
    registered = [kind == 0 for kind in log.column("type").to_pylist()]
    codes: list[int | None] = []
    for number, is_one in enumerate(registered):
        word = words[number % len(words)]
        codes.append(_CODES[word] if is_one and word is not None else None)
    columns = []
    for field, column in zip(LOG_SCHEMA, log.columns, strict=True):
        if field.name in lacking:
            column = pa.nulls(log.num_rows, field.type)
        elif field.name == "verification":
            column = pa.array(codes, field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=LOG_SCHEMA)


_CODES = {"sms": 0, "email": 3, "none": 4}
